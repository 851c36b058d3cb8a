"""The recipes' commands: each script runs with a recorder in place of `xmguard`, and what it would run is parsed."""

import os
import re
import shutil
import subprocess
from inspect import signature
from pathlib import Path

import pytest
from typer.main import get_command

from xmguard.loading import load_guard
from xmguard_research.benchmarks.command import app
from xmguard_research.benchmarks.protocol import PARAGRAPHS
from xmguard_research.benchmarks.settings import NAMES, Settings
from xmguard_research.benchmarks.suites import loaded, named, options, with_suites
from xmguard_research.judge.settings import JudgeSettings, with_judges
from xmguard_research.judge.settings import make as make_judge

RESEARCH = Path(__file__).parents[3] / "research"
RECIPES = sorted((RESEARCH / "repro").glob("*.sh"))
RECORDER = '#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done >> "$RECORD"\necho >> "$RECORD"\n'


@pytest.fixture
def commands(tmp_path):
    """Runs a recipe; gives the arguments of every command of it."""
    if shutil.which("sh") is None:
        pytest.skip("there is no shell")
    stub = tmp_path / "bin" / "xmguard"
    stub.parent.mkdir()
    stub.write_text(RECORDER)
    stub.chmod(0o755)
    words = tmp_path / "my words.toml"
    words.write_text('preamble=""\nstandard="{question}"\ninstructed="{question}"\nexplicit="{question}"\n')
    judge = tmp_path / "judge.txt"
    judge.write_text("{question} {response}")

    def run(recipe, **variables):
        record = tmp_path / "record"
        own = {"PATH": f"{stub.parent}:{os.environ['PATH']}", "RECORD": str(record), "CASES": "7"}
        texts = {"CLQA_PROMPTS": str(words), "CMQA_PROMPTS": str(words), "JUDGE_PROMPT": str(judge)}
        subprocess.run(["sh", str(recipe)], env=own | texts | variables, check=True)
        return [command.split("\n") for command in record.read_text().strip("\n").split("\n\n")]

    return run


@pytest.mark.parametrize("data", ["", "written.jsonl"])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_every_command_of_a_recipe_would_run(recipe, data, commands):
    bench = get_command(app).commands
    registry, judges = with_suites(), with_judges()
    guard = signature(load_guard).parameters
    found = commands(recipe, CLQA_DATA=data)
    assert found[-1][:2] == ["bench", "table"]
    seen, judging = set(), {}
    for top, name, *arguments in found:
        assert top == "bench"
        told = bench[name].make_context(name, arguments).params
        if name == "table":
            continue
        settings = Settings(**{key: value for key, value in told.items() if key in NAMES})
        assert settings.protocol == "paper"
        assert settings.wording.of(False) != PARAGRAPHS or recipe.name == "analogue.sh"
        for crosses in (False, True):
            assert settings.prompts_of(crosses)
            assert settings.rebalance_of(crosses)
        judging[settings.judge] = settings.judging
        assert {one.split("=")[0] for one in told["argument"] or []} <= set(guard)
        seen.add((told["suite"], told["model"], settings.label))
        if registry.benchmarks.get(told["suite"]) is None:
            assert told["suite"].startswith("cmqa")  # brings pictures; the rest of the recipe stands without it
            continue
        known = options(loaded(named(told["suite"], registry)))
        assert {one.split("=")[0] for one in told["option"] or []} <= set(known)
    assert len(seen) == len(found) - 1  # no run twice
    for name, told in judging.items():
        make_judge(name, JudgeSettings(**told), judges)


def test_options_that_the_documents_name_exist():
    text = "\n".join((RESEARCH / name).read_text() for name in ("DEVIATIONS.md", "repro/README.md"))
    text = re.sub(r"`python -m [^`]*`", "", text)
    commands = get_command(app).commands
    known = {option for parameter in commands["run"].params for option in parameter.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= known


def test_deviations_are_numbered_without_a_gap():
    numbers = re.findall(r"^(\d+)\. \*\*", (RESEARCH / "DEVIATIONS.md").read_text(), flags=re.MULTILINE)
    assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1))
