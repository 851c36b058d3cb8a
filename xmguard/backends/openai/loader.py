"""From the name of a model and how its API is asked to a backend. Nothing is loaded: the API is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xmguard.backends.openai.api import Api
from xmguard.backends.openai.backend import OpenAIBackend
from xmguard.backends.openai.calls import Calls
from xmguard.backends.openai.settings import Settings
from xmguard.calibration import ProbeSource
from xmguard.errors import FieldViolation, InvalidRequest
from xmguard.models.checkpoint import AdapterSource
from xmguard.plugins import Registry


def load(
    model: str,
    *,
    registry: Registry,
    device: str = "cpu",
    dtype: str = "float32",
    probe: ProbeSource | None = None,
    adapters: Sequence[AdapterSource] = (),
    options: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> OpenAIBackend:
    """Make a first call, which shows what the API offers.

    Args:
        model: what the API calls it.
        registry: for the modalities and languages that write the messages.
        device: the default; where the model runs is not ours to say.
        dtype: the default, likewise.
        probe: none.
        adapters: none.
        options: fields of `Settings`.
        progress: told each step in words.

    Raises:
        InvalidRequest: no model is named, an option is wrong, or something is asked that only weights can do.
        XmguardError: the API does not answer; the message says what to do.
    """
    wrong = [
        FieldViolation(name, fault)
        for name, fault, found in (
            ("model", "name the model as the API does", not model),
            ("device", "is for the API to choose; leave it out", device != "cpu"),
            ("dtype", "is for the API to choose; leave it out", dtype != "float32"),
            ("profile", "needs a probe of the model's own weights", probe is not None),
            ("model", "is an adapter, and an API has no weights to put it on", bool(adapters)),
        )
        if found
    ]
    if wrong:
        raise InvalidRequest(wrong)
    api, calls = Api(model, Settings.read(options or {})), Calls()
    progress(f"asking {api.settings.base_url} for {model}")
    try:
        calls.begin(api.look()).result()
    except BaseException:
        calls.close(api.close())
        raise
    backend = OpenAIBackend(api, calls, registry)
    for check in backend.offered():
        progress(f"{check.name}: {check.detail}")
    return backend
