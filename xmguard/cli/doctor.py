"""`xmguard doctor`: what is installed, whether a model is steered exactly, and whether steering does what it should."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xmguard import __version__
from xmguard.backends.transformers.families import PICTURES, PROVEN, Examination, examine
from xmguard.cli.ask import ProfileFile
from xmguard.cli.engine import (
    BaseUrl,
    EngineName,
    EngineOption,
    Experimental,
    TensorParallel,
    engine_options,
    flags_named,
)
from xmguard.cli.terminal import ABSENT, output, printable, progress
from xmguard.contracts import SelfCheck
from xmguard.errors import ErrorCode, Reason, SetupIncomplete, XmguardError
from xmguard.loading import DEFAULT_ENGINE, load_guard
from xmguard.models.checkpoint import holds_adapter
from xmguard.models.resolve import WITHOUT_A_NAME, default_model, resolve
from xmguard.plugins import Registry, load_plugins

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?[^;]*(?:;.*extra\s*==\s*['\"](?P<extra>[\w-]+)['\"])?"
)
_FOR_DEVELOPERS = "dev"


def doctor(
    model: Annotated[
        str, typer.Option(help=f"The model to test the steering of: a name or a folder. {WITHOUT_A_NAME}")
    ] = "",
    engine: EngineName = DEFAULT_ENGINE,
    tensor_parallel: TensorParallel = 1,
    base_url: BaseUrl = "",
    engine_option: EngineOption = None,
    experimental: Experimental = False,
    device: Annotated[str, typer.Option(help="Where the test runs, for example cpu or cuda:0.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    profile: ProfileFile = None,
) -> None:
    """Show what is installed, say whether a model is steered exactly and why not, and test the steering on it.

    Says last whether the model's verdict is calibrated.
    Exits 2 when the model is not steered exactly, and when a check fails or cannot be run.
    """
    console = output()
    console.print(_table("installed", _installed()))
    console.print(_table("torch", _torch()))
    registry = load_plugins()
    model = model or default_model(registry)
    console.print(
        _table("plugins", ((p.name, f"{p.version}: {', '.join(p.provides) or ABSENT}") for p in registry.plugins))
    )
    console.print(_table("models", ((m.name, str(m.path() or "not pulled")) for m in registry.models)))
    console.print(_table("can be steered", _steerable(registry)))
    for provider in registry.backends:
        if provider.name == engine and provider.support:
            console.print(_table(f"engine {engine} on this machine", _support(provider.support)))
    if engine == DEFAULT_ENGINE:  # another one judges a model when it loads it
        _tell_examination(console, model, registry)
    options = engine_options(
        engine_option,
        tensor_parallel=tensor_parallel,
        concurrency=0,
        experimental=experimental,
        base_url=base_url,
    )
    with flags_named(options):
        checks, calibration = _self_test(
            model, registry, engine=engine, options=options, device=device, dtype=dtype, profile=profile
        )
    named = () if engine == DEFAULT_ENGINE else (engine,)
    table = _table(f"self-test on {', '.join((model, *named, device, dtype))}", ())
    for check in checks:
        mark = Text("passed", style="green") if check.passed else Text("FAILED", style="bold red")
        table.add_row(Text(check.name), Text.assemble(mark, f"  {printable(check.detail)}"))
    console.print(table)
    console.print(Text(printable(f"{model}: verdict: {calibration}"), style="bold"), soft_wrap=True)
    failed = [check.name for check in checks if not check.passed]
    if failed:
        raise XmguardError(
            f"{len(failed)} of {len(checks)} self-tests failed on {model}: {', '.join(failed)}; "
            "do not rely on steering with this installation",
            code=ErrorCode.FAILED_PRECONDITION,
            reason=Reason.MODEL_REFUSED,
        )


def _tell_examination(console: Console, model: str, registry: Registry) -> None:
    """Say whether the transformers engine steers a model exactly, and why not.

    Raises:
        XmguardError: it does not.
    """
    examination = _examination(model, registry)
    exactly = "no" if examination.reasons else "yes"
    console.print(Text(printable(f"{model}: steered exactly: {exactly}"), style="bold"), soft_wrap=True)
    console.print(_table(None, _grounds(examination)))
    if examination.reasons:
        count = len(examination.reasons)
        raise XmguardError(
            f"{model} is not steered exactly, for the {'reason' if count == 1 else f'{count} reasons'} listed; "
            "xmguard does not load it",
            code=ErrorCode.FAILED_PRECONDITION,
            reason=Reason.MODEL_REFUSED,
        )


def _support(target: str) -> Iterable[tuple[str, str]]:
    module, function = target.split(":")
    told: Iterable[tuple[str, str]] = getattr(import_module(module), function)()
    return told


def _table(title: str | None, rows: Iterable[tuple[str, str]]) -> Table:
    heading = None if title is None else Text(title, style="bold")
    table = Table(box=box.SIMPLE, show_header=False, title=heading, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(printable(name)), Text(printable(value)))
    return table


def _installed() -> Iterator[tuple[str, str]]:
    yield "python", f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    yield "xmguard", __version__
    for extra, packages in _extras().items():
        yield f"xmguard[{extra}]" if extra else "required", ", ".join(f"{name} {_version(name)}" for name in packages)


def _extras() -> dict[str, list[str]]:
    """Extra to the packages it asks for, as the installed distribution declares them; the base is the extra ''."""
    extras: dict[str, list[str]] = {}
    try:
        declared = requires("xmguard") or []
    except PackageNotFoundError:  # run from a source tree that was never installed: nothing is declared
        declared = []
    for line in declared:
        match = _REQUIREMENT.match(line)
        if match and match["name"] != "xmguard" and match["extra"] != _FOR_DEVELOPERS:
            extras.setdefault(match["extra"] or "", []).append(match["name"])
    return extras


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _torch() -> Iterator[tuple[str, str]]:
    try:
        import torch
    except ImportError as error:
        yield "torch", f'not usable ({error}); run: pip install "xmguard[hf]"'
        return
    yield "version", torch.__version__
    yield "cpu", f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    yield "cuda", ", ".join(devices) or "no device"
    yield "triton", _triton()
    try:
        torch.ones(2, 2, dtype=torch.bfloat16) @ torch.ones(2, 2, dtype=torch.bfloat16)
        yield "bfloat16", "computes on cpu"
    except RuntimeError as error:
        yield "bfloat16", f"does not compute on cpu: {error}"


def _triton() -> str:
    if find_spec("triton") is None:  # the engine asks the same
        return "not installed: a GPU would take the slower path"
    # Builds of torch may bring the module in a distribution of another name.
    return next((version(name) for name in packages_distributions().get("triton", ())), "installed")


def _steerable(registry: Registry) -> Iterator[tuple[str, str]]:
    for backend in registry.backends:
        yield f"engine {backend.name}", backend.summary
    yield "architectures", ", ".join(PROVEN)
    yield "architectures that read pictures", ", ".join(PICTURES)
    for architecture in registry.architectures:
        yield f"architecture {architecture.model_type}", architecture.summary
    for policy in registry.policies:
        parameters = "".join(f"; {name}: {meaning}" for name, meaning in sorted(policy.parameters.items()))
        yield f"policy {policy.name}", policy.summary + parameters


def _examination(model: str, registry: Registry) -> Examination:
    folder = Path(model).expanduser()
    # A folder is looked at even where resolving the name would say that it is no model's.
    if model in registry.models.names() or not folder.is_dir() or holds_adapter(folder):
        folder = resolve(model, registry).path
    try:
        return examine(folder, registry.architectures.items)
    except ImportError as error:
        raise SetupIncomplete(
            f'telling how {model} is built needs transformers ({error}); run: pip install "xmguard[hf]"'
        ) from error


def _grounds(examination: Examination) -> Iterator[tuple[str, str]]:
    """What speaks against it; if nothing does, what is particular about it."""
    yield from (("because", reason) for reason in examination.reasons)
    yield from ((particular.name, particular.detail) for particular in examination.particulars)


def _self_test(model: str, registry: Registry, **load: Any) -> tuple[Sequence[SelfCheck], str]:
    """What was tested, and what the verdict's probabilities were fitted to; `load` is for `load_guard`."""
    with progress(f"loading {model}") as step:
        guard = load_guard(model, registry=registry, progress=step, **load)
        try:
            step("testing")
            return guard.backend.self_test(), guard.describe().calibration
        finally:
            guard.backend.close()
