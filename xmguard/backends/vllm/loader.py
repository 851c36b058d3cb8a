"""Starts vLLM on a model folder, or refuses the folder with every reason at once.

Never runs a model's own code and never unpickles. Nothing is served before the started engine has passed its self-test.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xmguard import __version__
from xmguard.backends.context_length import context_length
from xmguard.backends.folder import weights_hash
from xmguard.backends.pictures import PictureReader, chat_template
from xmguard.backends.processors import load_processor
from xmguard.backends.prompting import PromptEncoder
from xmguard.backends.tokenizer import OPTIONS, read_tokenizer
from xmguard.backends.vllm.backend import VLLMBackend
from xmguard.backends.vllm.engine import Engine
from xmguard.backends.vllm.families import reads_pictures, refusals
from xmguard.backends.vllm.loaded import ANSWER, PROBE, LoadedEngine
from xmguard.backends.vllm.settings import EngineSettings, no_pictures_here
from xmguard.backends.vllm.spec import KEY
from xmguard.calibration import ProbeSource
from xmguard.errors import ModelRefused, SetupIncomplete, XmguardError
from xmguard.models.checkpoint import AdapterSource
from xmguard.parts import IMAGE, TEXT
from xmguard.plugins import Registry

log = logging.getLogger(__name__)

BLOCK_TOKENS = 32
"""Of a block of the cache: the smallest that every attention backend takes, so that contexts share most."""
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    # A process that runs threads must not be forked.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}
"""What vLLM reads from the environment, where the caller's does not say otherwise."""
ON_CPU = {"TORCH_COMPILE_DISABLE": "1"}
"""There even how vLLM counts its ranks would be compiled, for a minute; the model runs eagerly."""

OF_PICTURES = {
    "limit_mm_per_prompt": {"video": 0},
    # It prepares each context's pictures once, and they travel with every branch: nothing to keep in two processes.
    "mm_processor_cache_gb": 0,
}
"""What vLLM is told of a model that reads pictures."""

if find_spec("vllm") is None:  # it is imported only once the environment is set
    raise ImportError("No module named 'vllm'", name="vllm")


def load(
    path: Path,
    *,
    registry: Registry,
    device: str = "cpu",
    dtype: str = "float32",
    probe: ProbeSource | None = None,
    adapters: Sequence[AdapterSource] = (),
    options: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> VLLMBackend:
    """Start an engine on a model folder.

    Args:
        path: folder with config.json, *.safetensors and tokenizer.json.
        registry: for the modalities that encode spans.
        device: `cpu` or `cuda`, as vLLM was installed for.
        dtype: `float32` or `bfloat16`.
        probe: the profile's, if it brings one.
        adapters: put onto the weights, in this order; only one of the joint answer.
        options: as `settings.EngineSettings.read` takes them.
        progress: told each step in words.

    Raises:
        InvalidRequest: an unknown dtype or option, a device that this vLLM does not run on, or more context than the
            model has.
        SetupIncomplete: the vLLM that is installed is not one that this engine knows.
        ModelRefused: with every reason found.
    """
    for name, value in (ENVIRONMENT | (ON_CPU if device == "cpu" else {})).items():
        os.environ.setdefault(name, value)
    settings = EngineSettings.read(device, dtype, options or {})
    settings.check_machine()
    if reasons := refusals(path, adapters):
        raise ModelRefused(str(path), reasons)
    progress("hashing the weights")
    base_hash = weights_hash(path)
    model_hash = _stacked(path, base_hash, adapters)
    whole, generation = _configuration(path)
    config = whole.get_text_config(decoder=True)
    processor = _processor(path, device) if reads_pictures(whole) else None
    tokenizer = read_tokenizer(path) if processor is None else processor.tokenizer
    encoder = PromptEncoder(
        tokenizer,
        registry,
        str(path),
        probe_task=None if probe is None else probe.task,
        template=None if processor is None else chat_template(processor),
        pictures=None
        if processor is None
        else PictureReader(processor, whole.image_token_id, str(path), keeps_parts=True),
    )
    length = settings.context_length(context_length(config))
    progress("starting vLLM and reading the weights")
    asked = _adapters(probe, adapters)
    engine = started(path, settings, length, asked, pictures=processor is not None)
    try:
        tells_scores = _examine(engine, path)
        loaded = LoadedEngine(
            engine=engine,
            end_ids=_end_ids(generation, tokenizer),
            context_length=length,
            block_tokens=BLOCK_TOKENS,
            text=encoder.text,
            tells_scores=tells_scores,
            adapters=frozenset(asked),
            suppressed=_suppressed(generation, config.vocab_size),
        )
        backend = VLLMBackend(
            loaded=loaded,
            encoder=encoder,
            architecture=whole.architectures[0],
            dtype=dtype,
            model_hash=model_hash,
            evidence_hash=base_hash,
            concurrency=settings.concurrency,
            modalities=(TEXT,) if processor is None else (TEXT, IMAGE),
        )
        progress("testing that a bias does what it says")
        failed = [f"{check.name}: {check.detail}" for check in backend.self_test() if not check.passed]
        if failed:
            raise ModelRefused(str(path), [f"its self-test fails: {each}" for each in failed])
    except BaseException as error:
        failure = engine.failure
        engine.close()
        if failure:
            raise ModelRefused(str(path), [f"{failure} while it was tested; their own lines above say why"]) from error
        raise
    return backend


def started(
    path: Path, settings: EngineSettings, length: int, adapters: Mapping[str, Any] | None, *, pictures: bool = False
) -> Engine:
    """Start vLLM.

    Args:
        path: the model's folder.
        settings: of the engine.
        length: tokens of a prompt and what follows it.
        adapters: what the workers have to load, by name; None starts vLLM without anything of xmguard's in it.
        pictures: whether the model reads any.

    Raises:
        ModelRefused: it does not start with the model.
    """
    from xmguard.backends.vllm.worker import cuda_plugin, hashing, parent_watch, plugin

    hooks = plugin if settings.device.split(":")[0] == "cpu" else cuda_plugin

    def start(channel: Mapping[str, str]) -> Any:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        ours: dict[str, Any] = {}
        if adapters is not None:
            told = {**channel, "adapters": adapters, "compiled": settings.compiled}
            ours = {
                "logits_processors": [hooks.TAP],
                "worker_extension_cls": hooks.EXTENSION,
                "additional_config": {KEY: told},
            }
        arguments = AsyncEngineArgs(
            model=str(path),
            tokenizer=str(path),
            skip_tokenizer_init=not pictures,  # its processor asks for one
            trust_remote_code=False,
            load_format="safetensors",
            generation_config="vllm",
            max_model_len=length,
            block_size=BLOCK_TOKENS,
            enable_prefix_caching=True,
            async_scheduling=False,
            disable_log_stats=False,  # counted on prometheus_client's own registry, never on the server's
            use_tqdm_on_load=False,
            **(OF_PICTURES if pictures else {}),
            **ours,
            **settings.arguments,
        )
        return AsyncLLM.from_engine_args(arguments)

    salted = not hashing.known()
    if salted:
        log.warning(
            "this vLLM keys its cache in a way not known here: what reads with a bias shares no context with others"
        )
    try:
        with parent_watch.watched():
            return Engine(start, salted=salted, machines=settings.machines)
    except XmguardError:
        raise
    except Exception as error:  # vLLM raises whatever it likes of a model, a machine or an argument
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ModelRefused(str(path), [f"vLLM does not start with it: {said}; its own lines above say more"]) from error


def _examine(engine: Engine, path: Path) -> bool:
    """Ask every worker what speaks against reading the model that it has loaded; whether they tell of scores."""
    found = engine.call("xmguard_examine", timeout=120.0)
    check_versions(found)
    if reasons := list(dict.fromkeys(reason for rank in found for reason in rank["reasons"])):
        raise ModelRefused(str(path), reasons)
    log.info("rows with a bias or to be measured are read by: %s", found[0]["path"])
    return bool(found[0].get("scores"))


def check_versions(found: Sequence[Mapping[str, Any]]) -> None:
    """See that the ranks, which may be on other machines, run the xmguard that runs here.

    Raises:
        SetupIncomplete: some do not.
    """
    versions = [str(rank.get("version", "of an older kind")) for rank in found]
    if others := [f"rank {rank} runs xmguard {one}" for rank, one in enumerate(versions) if one != __version__]:
        said = f"{', '.join(others)}; here it is {__version__}: install the same on every machine"
        raise SetupIncomplete(said)


def _adapters(probe: ProbeSource | None, adapters: Sequence[AdapterSource]) -> dict[str, Any]:
    """What the workers have to load, by name."""
    asked: dict[str, Any] = {}
    for source in adapters:
        asked[ANSWER] = {"folder": str(source.folder.resolve()), "sha256": source.sha256}
    if probe is not None:
        asked[PROBE] = {"folder": str(probe.folder.resolve()), "sha256": probe.sha256, "layers": probe.layers}
    return asked


def _stacked(path: Path, base_hash: str, adapters: Sequence[AdapterSource]) -> str:
    """`Backend.model_hash` of a base with adapters on it."""
    model_hash = base_hash
    for source in adapters:
        if source.base_sha256 != model_hash:
            said = f"it was trained on a base that hashes to {source.base_sha256}, this one to {model_hash}"
            raise ModelRefused(str(source.folder), [said])
        model_hash = source.onto(model_hash)
    return model_hash


def _processor(path: Path, device: str) -> Any:
    """The processor of a model that reads pictures.

    Raises:
        ModelRefused: it cannot be had, or vLLM cannot run such a model here.
    """
    if device.split(":")[0] != "cpu":
        raise ModelRefused(
            str(path), ["it reads pictures, and where vLLM's runner on a GPU lays them is not heard yet"]
        )
    if why := no_pictures_here():
        raise ModelRefused(str(path), [why])
    return load_processor(path, OPTIONS)


def _configuration(path: Path) -> tuple[Any, Any]:
    """A folder's configurations of the model and of generation."""
    from transformers import AutoConfig, GenerationConfig

    config = AutoConfig.from_pretrained(path, **OPTIONS)
    if (path / "generation_config.json").is_file():
        return config, GenerationConfig.from_pretrained(path, local_files_only=True)
    return config, GenerationConfig.from_model_config(config.get_text_config(decoder=True))


def _end_ids(generation: Any, tokenizer: Any) -> frozenset[int]:
    declared = generation.eos_token_id
    ids = {*(declared if isinstance(declared, list) else [declared]), tokenizer.eos_token_id}
    return frozenset(int(token) for token in ids if token is not None)


def _suppressed(generation: Any, vocabulary: int) -> tuple[int, ...]:
    """Ids outside the vocabulary are passed over, as transformers does."""
    return tuple(token for token in generation.suppress_tokens or () if 0 <= token < vocabulary)
