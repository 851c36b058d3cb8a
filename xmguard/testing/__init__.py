"""What authors of plugins test with: contracts of policies, modalities, features and languages, and a tiny model.

Needs the extra `xmguard[testing]`. Nothing that answers requests imports it.
"""

from __future__ import annotations

from importlib.util import find_spec

if _missing := [name for name in ("pytest", "hypothesis", "torch", "transformers") if find_spec(name) is None]:
    raise ModuleNotFoundError(
        f"xmguard.testing needs {', '.join(_missing)}, not installed here; run: pip install 'xmguard[testing]'",
        name=_missing[0],
    )

import pytest

# Before the imports: a failing assertion of a contract then shows its values in the author's own test run.
pytest.register_assert_rewrite(
    *(f"xmguard.testing.{contract}" for contract in ("features", "languages", "modalities", "policies"))
)

from xmguard.testing.evidence import AnsweredSpan, EvidenceCase  # noqa: E402
from xmguard.testing.features import FeatureContract  # noqa: E402
from xmguard.testing.languages import LanguageContract  # noqa: E402
from xmguard.testing.modalities import ModalityContract  # noqa: E402
from xmguard.testing.policies import PolicyContract  # noqa: E402
from xmguard.testing.tiny import make_model, tiny_model  # noqa: E402

__all__ = [
    "AnsweredSpan",
    "EvidenceCase",
    "FeatureContract",
    "LanguageContract",
    "ModalityContract",
    "PolicyContract",
    "make_model",
    "tiny_model",
]
