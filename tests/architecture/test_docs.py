"""What the documents promise exists."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from xmguard import hookspecs
from xmguard.cli.app import build_app
from xmguard_research.speed.report import read
from xmguard_research.speed.show import replaced

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for folder in ("deploy", "plugins", "research", "server", "xmguard")
    for page in ROOT.glob(f"{folder}/**/README.md")
]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *PAGES, ROOT / "deploy/runbook.md", ROOT / "research/DEVIATIONS.md"])


def text_of(*names: str) -> str:
    return "\n".join((ROOT / name).read_text(encoding="utf-8") for name in names)


def code_of(path: Path) -> str:
    """What a document shows as code: fenced blocks and inline spans."""
    text = path.read_text(encoding="utf-8")
    fenced = re.findall(r"```.*?\n(.*?)```", text, flags=re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return "\n".join([*fenced, *inline])


def prose_of(path: Path) -> str:
    """What a document holds outside of its fenced blocks."""
    return re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_every_hook_is_documented_and_every_documented_hook_exists():
    declared = {name for name in vars(hookspecs) if name.startswith("xmguard_")}
    table = re.findall(r"^\| `(xmguard_\w+)` \|", text_of("plugins/README.md"), flags=re.MULTILINE)
    assert sorted(table) == sorted(declared)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_exist(document: Path):
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), flags=re.MULTILINE))
    named = {word for line in re.findall(r"\bmake ([a-z][a-z -]*)", code_of(document)) for word in line.split()}
    assert named <= targets


def test_make_help_lists_every_target():
    phony = re.search(r"^\.PHONY: (.*)$", text_of("Makefile"), flags=re.MULTILINE)
    assert phony
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert sorted(re.findall(r"^make ([\w-]+)", shown, flags=re.MULTILINE)) == sorted(phony[1].split())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_their_options_exist(document: Path):
    commands = get_command(build_app()).commands
    code = code_of(document).replace("\\\n", " ")
    for name, arguments in re.findall(r"(?:^|/| -m |\| )xmguard ([a-z]+)([^|\n]*)", code, flags=re.MULTILINE):
        assert name in commands, f"{document.name}: xmguard {name}"
        command = commands[name]
        if (below := getattr(command, "commands", None)) and arguments:  # `xmguard bench` alone names the group
            within = arguments.split()[0]
            assert within in below, f"{document.name}: xmguard {name} {within}"
            command = below[within]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        named = set(re.findall(r"(?<=\s)--[a-z][a-z0-9-]*", arguments))
        assert named <= known, f"{document.name}: xmguard {name}{arguments}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", prose_of(document))
    assert [link for link in links if not (document.parent / link).exists()] == []


def anchors_of(path: Path) -> set[str]:
    """What headings are linked to by: letters, digits and hyphens of their texts, in small letters."""
    headings = re.findall(r"^#+ (.*)$", prose_of(path), flags=re.MULTILINE)
    shown = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in shown}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_into_a_page_lead_to_a_heading(document: Path):
    links = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", prose_of(document))
    pages = [((document.parent / page).resolve() if page else document, anchor) for page, anchor in links]
    assert [f"{page}#{anchor}" for page, anchor in pages if anchor not in anchors_of(page)] == []


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_a_file_tree_is_real(document: str):
    tree = re.search(r"## What is where[^\n]*\n+```\n(.*?)```", text_of(document), flags=re.DOTALL)
    assert tree
    missing, folder = [], ""
    for line in tree[1].splitlines():
        indent, entry = len(line) - len(line.lstrip()), line.split()[0]
        folder = folder if indent else ""
        if not list(ROOT.glob((folder + entry).rstrip("/"))):
            missing.append(folder + entry)
        if not indent and entry.endswith("/"):
            folder = entry
    assert missing == []


def test_the_readme_shows_the_committed_speed_results() -> None:
    results = ROOT / "research/results/speed.json"
    text = text_of("README.md")
    assert replaced(text, read(results)) == text, "run: python -m xmguard_research.speed --show ... --readme README.md"
