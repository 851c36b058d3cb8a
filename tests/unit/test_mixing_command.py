"""`xmguard mix build` as its users meet it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.unit.command_line import one_error_line, xmguard
from tests.unit.mixing_recipes import records, write
from xmguard.cli import app as cli_app
from xmguard_research.mixing import command_build

ROOT = Path(__file__).parents[2]

RECIPE = """
name: small
base: {base}
license: Apache-2.0
data:
  trained_tokens: 500
  sources:
    - {{name: en, modality: en, path: en.jsonl}}
    - {{name: es, modality: es, path: es.jsonl}}
"""


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch):
    """The commands that this checkout declares, whatever was declared when it was installed."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    commands = [EntryPoint(name, value, cli_app.COMMANDS) for name, value in declared[cli_app.COMMANDS].items()]
    monkeypatch.setattr(cli_app, "entry_points", lambda group: commands)


@pytest.fixture
def told(tmp_path: Path, tiny_folder: Path) -> str:
    for name in ("en", "es"):
        write(tmp_path / f"{name}.jsonl", records(name, 20))
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(base=tiny_folder), encoding="utf-8")
    return str(tmp_path / "recipe.yaml")


def test_a_dry_run_shows_what_would_be_drawn_and_writes_nothing(told: str, tmp_path: Path):
    shown = xmguard("mix", "build", told, "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert shown.stderr == ""
    en = next(line.split() for line in shown.stdout.splitlines() if line.startswith("en "))
    assert en[:4] == ["en", "en", "20", "1"]
    assert "(en+es 20), 0 of them of fewer items than 2; 1 held out" in " ".join(shown.stdout.split())
    assert "nothing written" in shown.stdout
    assert sorted(file.name for file in tmp_path.iterdir()) == ["en.jsonl", "es.jsonl", "recipe.yaml"]


def test_questions_that_a_generator_asks_again_are_said(told: str):
    options = "{generator: reading, name: dev, modality: en, options: {split: dev, size: short, topics: 130}}"
    change = ("--set", f"data.sources=[{options}]", "--set", "data.strategy=dataset")
    shown = " ".join(xmguard("mix", "build", told, "--dry-run", *change).stdout.split())
    assert "dev: 130 topics with 126 different questions; some are asked again" in shown
    fewer = change[1].replace("topics: 130", "topics: 120")
    assert "asked again" not in xmguard("mix", "build", told, "--dry-run", "--set", fewer, *change[2:]).stdout


def test_the_same_command_again_says_unchanged_and_another_needs_force(told: str, tmp_path: Path):
    out = str(tmp_path / "data")
    assert "wrote: " in xmguard("mix", "build", told, "--out", out).stdout
    assert "unchanged: " in xmguard("mix", "build", told, "--out", out).stdout
    changed = ("mix", "build", told, "--out", out, "--set", "data.seed=1", "--set", "data.strategy=dataset")
    assert "--force" in one_error_line(xmguard(*changed))
    assert "wrote: " in xmguard(*changed, "--force").stdout


def test_a_terminal_is_shown_how_far_it_is(monkeypatch: pytest.MonkeyPatch):
    seen = StringIO()
    monkeypatch.setattr(command_build, "errors", lambda: Console(file=seen, force_terminal=True, width=100))
    with command_build._bar() as tell:
        tell("reading [red]en", 0, 0)
        tell("drawing", 3, 4)
    shown = seen.getvalue()
    assert "drawing" in shown
    assert "3/4" in shown


def test_mistakes_are_one_line_and_status_2(told: str, tmp_path: Path):
    assert "--out" in one_error_line(xmguard("mix", "build", told))
    out = ("--out", str(tmp_path / "data"))
    assert "data.seeds" in one_error_line(xmguard("mix", "build", told, *out, "--set", "data.seeds=1"))
    assert "none.yaml cannot be read" in one_error_line(xmguard("mix", "build", str(tmp_path / "none.yaml"), *out))
    assert "no model 'nobody'" in one_error_line(xmguard("mix", "build", told, *out, "--set", "base=nobody"))
    write(tmp_path / "es.jsonl", [{"id": "x"}])
    assert "es.jsonl:1: messages has to be a list" in one_error_line(xmguard("mix", "build", told, *out))
    assert not (tmp_path / "data").exists()


def test_a_card_that_is_to_be_written_is_looked_for_before_anything_is_loaded(tmp_path: Path):
    asked = ("mix", "evaluate", str(tmp_path), "--out", str(tmp_path / "found"), "--write")
    assert "xmguard.json cannot be read" in one_error_line(xmguard(*asked))
    assert not list(tmp_path.iterdir())


def test_a_models_name_is_none_of_a_folder_whose_card_could_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "smollm2").mkdir()
    (tmp_path / "smollm2" / "xmguard.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    refused = one_error_line(xmguard("mix", "evaluate", "smollm2", "--out", "found", "--write"))
    assert "'smollm2' is no folder, so it has no card to write into" in refused


@pytest.mark.parametrize(
    ("command", "package"),
    [
        (("build", "recipe.yaml", "--dry-run"), "xmguard_research.mixing.building"),
        (("train", "recipe.yaml", "--out", "run"), "xmguard_research.mixing.training"),
        (("export", "model", "--out", "merged"), "xmguard_research.mixing.exporting"),
        (("evaluate", "model", "--out", "found"), "xmguard_research.mixing.measures"),
        (("experiment", "crosslingual", "--out", "out"), "xmguard_research.mixing.experiment"),
        (("report", "out"), "xmguard_research.mixing.experiment"),
    ],
)
def test_every_command_says_which_package_is_missing(monkeypatch: pytest.MonkeyPatch, command, package: str):
    import xmguard_research.mixing

    monkeypatch.setitem(sys.modules, package, None)  # as if a package that it imports were not there
    monkeypatch.delattr(xmguard_research.mixing, package.rpartition(".")[2], raising=False)
    assert 'run: pip install "xmguard[research]"' in one_error_line(xmguard("mix", *command))


def test_the_command_loads_nothing_heavy_before_it_is_called():
    heavy = ("torch", "transformers", "numpy", "pydantic", "datasets", "trl", "peft")
    program = f"import xmguard_research.mixing.command, sys; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
