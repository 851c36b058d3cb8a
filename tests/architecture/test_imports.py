"""Who may import whom, and what importing xmguard costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Lowest first: a module may import its own layer and the ones before it. A package stands for everything in it.
LAYERS = (
    tuple(
        f"xmguard.{name}"
        for name in [
            "abilities",
            "bias",
            "calibration",
            "context",
            "deadline",
            "errors",
            "evidence",
            "explanation",
            "fingerprints",
            "measurement",
            "parts",
            "profile",
            "profile_reader",
            "prompt_text",
            "providers",
            "request",
            "response",
            "sizes",
            "span",
            "steps",
            "usage",
        ]
    ),
    ("xmguard.contracts", "xmguard.hookspecs", "xmguard.plugins"),
    tuple(
        f"xmguard.{name}"
        for name in [
            "attention",
            "language_tags",
            "languages",
            "modalities",
            "models",
            "rebalance",
            "validation",
            "verdict",
        ]
    ),
    ("xmguard.backends",),
    tuple(
        f"xmguard.{name}"
        for name in [
            "guard",
            "alone",
            "cost",
            "description",
            "featuring",
            "finishing",
            "judging",
            "loading",
            "planning",
            "prepared",
            "quoting",
            "reports",
            "run",
            "testing",
            "text_stream",
            "together",
        ]
    ),
    ("xmguard.v1", "xmguard.wire", "xmguard.client"),
    ("xmguard.cli", "xmguard.__main__", "xmguard.examples"),
    ("xmguard_server", "xmguard_research"),
)
# xmguard/__init__.py is a table of where names live; `import xmguard` for its version is free everywhere.
FREE = ("xmguard",)

# Outside package: who may import it at all. A package stands for everything in it.
ONLY = {
    "torch": (
        "xmguard.attention",
        "xmguard.backends.low_rank",
        "xmguard.backends.pictures",
        "xmguard.backends.probe_files",
        "xmguard.backends.share_rules",
        "xmguard.backends.transformers",
        "xmguard.backends.vllm",
        "xmguard.cli.doctor",
        "xmguard.models.conversion",
        "xmguard.testing",
        "xmguard_research",
    ),
    "transformers": (
        "xmguard.backends.processors",
        "xmguard.backends.tokenizer",
        "xmguard.backends.transformers",
        "xmguard.backends.vllm",
        "xmguard.models.conversion",
        "xmguard.testing",
        "xmguard_research",
    ),
    "triton": (
        "xmguard.attention.triton_kernels",
        "xmguard.attention.triton_paged",
        "xmguard.attention.triton_paged_decode",
        "xmguard.attention.triton_paged_reads",
        "xmguard.attention.triton_paged_tiles",
        "xmguard.attention.triton_segments",
    ),
    "matplotlib": ("xmguard.cli.heatmap", "xmguard_research"),
    "openai": ("xmguard.backends.openai", "xmguard_research"),
    "vllm": ("xmguard.backends.vllm",),
    "prometheus_client": ("xmguard_server.admin", "xmguard_server.metrics", "xmguard_server.workers.engine_page"),
    "opentelemetry": ("xmguard_server.tracing",),
    "cryptography": ("xmguard_server.tls",),
    "starlette": ("xmguard_server",),
    "h11": ("xmguard_server.http.port",),
    "uvicorn": ("xmguard_server.http.port",),
    "grpc": ("xmguard.client", "xmguard.v1", "xmguard_server"),
    "google": ("xmguard.wire", "xmguard.v1", "xmguard_server.inference", "xmguard_server.inference_protocol"),
    "mcp": ("xmguard_server.mcp",),
    "pluggy": ("xmguard.hookspecs", "xmguard.plugins"),
    "pytest": ("xmguard.testing",),
    "typer": (
        "xmguard.cli",
        "xmguard_server.commands",
        "xmguard_server.mcp.command",
        "xmguard_server.token_command",
        "xmguard_research",
    ),
    "rich": ("xmguard.cli", "xmguard_research"),
}
# Messages of the contract: only the translation handles them.
MESSAGES = ("xmguard.wire", "xmguard.v1")


def modules() -> dict[str, Path]:
    found = {}
    for base in (ROOT, ROOT / "server", ROOT / "research"):
        for path in base.glob("xmguard*/**/*.py"):
            parts = path.relative_to(base).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def imports(module: str) -> Sequence[tuple[int, str]]:
    """Line and full name of everything a module imports, also inside functions and for typing."""
    found = []
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.append((node.lineno, inner if inner in MODULES else str(node.module)))
    return found


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def layer(module: str) -> int:
    levels = [level for level, packages in enumerate(LAYERS) if within(module, packages)]
    assert len(levels) == 1, f"{module} belongs to no layer; add it to LAYERS"
    return levels[0]


def forbidden(is_wrong: Callable[[str, str], bool]) -> list[str]:
    """Every import that is wrong, of a module and what it imports."""
    return [
        f"{module}, line {line}: {name}"
        for module in sorted(MODULES)
        for line, name in imports(module)
        if is_wrong(module, name)
    ]


def test_a_module_imports_only_its_own_layer_and_lower_ones():
    def is_wrong(module: str, name: str) -> bool:
        top = name.split(".")[0]
        if {module, name} & set(FREE) or top not in ("xmguard", "xmguard_server", "xmguard_research"):
            return False
        sideways = layer(name) == layer("xmguard_server") and top != module.split(".")[0]
        return layer(name) > layer(module) or sideways

    assert forbidden(is_wrong) == []


def test_every_module_belongs_to_a_layer():
    assert all(layer(module) >= 0 for module in set(MODULES) - set(FREE))


def test_the_layers_are_told_to_who_contributes():
    rules = (
        (ROOT / "CONTRIBUTING.md")
        .read_text(encoding="utf-8")
        .partition("## Rules of the house")[2]
        .partition("\n## ")[0]
    )
    listed = re.findall(r"^\d\. (.*?)(?=^\d\. |\n\n)", rules, flags=re.MULTILINE | re.DOTALL)
    named = [{f"xmguard.{name}" for name in re.findall(r"`(\w+)`", told)} for told in listed]
    assert named[:3] == [set(packages) for packages in LAYERS[:3]]  # of those above, the list names the main parts
    assert len(named) == len(LAYERS)


def test_a_module_imports_only_the_outside_packages_it_may():
    def is_wrong(module: str, name: str) -> bool:
        allowed = MESSAGES if within(name, ("xmguard.v1",)) else ONLY.get(name.split(".")[0])
        return allowed is not None and not within(module, allowed)

    assert forbidden(is_wrong) == []


def test_values_need_the_standard_library_only():
    for module in MODULES:
        if module not in FREE and layer(module) == 0:
            outside = {name.split(".")[0] for _, name in imports(module)} - sys.stdlib_module_names - {"xmguard"}
            assert not outside, f"{module} imports {outside}"


def test_engines_do_not_know_each_other():
    engines = {name.split(".")[2] for name in MODULES if name.startswith("xmguard.backends.") and name.count(".") > 2}
    packages = tuple(f"xmguard.backends.{engine}" for engine in sorted(engines))
    assert set(packages) >= {f"xmguard.backends.{engine}" for engine in ("openai", "transformers", "vllm")}
    for own in packages:
        others = tuple(package for package in packages if package != own)
        for module in MODULES:
            if within(module, (own,)):
                assert not [name for _, name in imports(module) if within(name, others)], module


def test_plugins_import_neither_server_nor_internals_of_engines():
    for path in (ROOT / "plugins").glob("*/src/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xmguard"):
                assert not within(str(node.module), ("xmguard_server", "xmguard.backends", "xmguard.v1", "xmguard.cli"))


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import xmguard", ("torch", "grpc", "transformers", "google.protobuf", "numpy", "pytest")),
        ("import xmguard; xmguard.load_plugins()", ("torch", "grpc", "transformers")),
        ("import xmguard; xmguard.Client", ("torch", "transformers", "numpy")),
        ("import xmguard; xmguard.Guard; xmguard.load_guard", ("torch", "grpc", "transformers", "pytest")),
        (
            "from xmguard.cli.app import build_app; build_app()",
            ("torch", "grpc", "transformers", "matplotlib", "numpy"),
        ),
    ],
)
def test_what_an_import_loads(statement: str, heavy: tuple[str, ...]):
    program = f"{statement}\nimport sys\nprint([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_stay_small_enough_to_read():
    # About 400 lines is the aim; what is a little above may wait for its next change, what is far above may not.
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: lines for name, lines in lengths.items() if lines > 400 and not within(name, ("xmguard.v1",))} == {}
