"""The paper's protocol as settings and words: what is asked under it, and what is refused."""

import json

import pytest

from xmguard import Media, Rebalance, Span
from xmguard.errors import InvalidRequest
from xmguard.languages.english.prompts import PROMPT_TEXT
from xmguard.prompt_text import QUESTION
from xmguard.request import Prompt, Scope
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.protocol import PARAGRAPHS, SCENE, SHIPPED, from_file, from_words, to_words
from xmguard_research.benchmarks.settings import LATER, Settings

TOML = """
preamble = "P:\\n"
standard = "\\nS {question}"
instructed = "\\nI {question}"
explicit = "\\nE '{question}'?"
"""


def case(*spans, variant="en-en"):
    return Case("c", "c", variant, "Which?", spans, True, ("a", "b"))


TEXT = Span("s1", "red", language="en")
CHINESE = Span("s2", "绿", language="zh")
PICTURE = Span("s2", media=Media("image/png", b"x"))


def written(folder, text, name="words.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_words_is_read_from_toml_and_from_json(tmp_path):
    found = from_file(written(tmp_path, TOML))
    assert found.paragraphs == found.scene
    assert found.paragraphs.tasks[Prompt.EXPLICIT] == "\nE '{question}'?"
    assert found.paragraphs.separator == "\n"
    assert found.paragraphs.alone_task == PROMPT_TEXT.alone_task
    again = from_file(written(tmp_path, json.dumps(to_words(found.paragraphs)), "words.json"))
    assert again.paragraphs == found.paragraphs
    assert again.origin.startswith("words.json ")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("S {question}", "S"), "standard: slot {question} is missing"),
        (("S {question}", "S {question} {question}"), "standard: slot {question} is there twice"),
        (("E '{question}'", "E '{Q}'"), r"explicit: {Q} is no slot of it; explicit: slot {question} is missing"),
        (('"P:', '"P {question}:'), "preamble: {question} is no slot of it"),
        (("S {question}", "S {question} {"), "standard: { is no slot of it"),
        (("preamble =", "opening ="), "preamble is missing; opening is not known; known: preamble, standard"),
        (('"P:\\n"', "3"), "preamble must be text"),
        (("preamble =", "preamble"), "cannot be read as TOML"),
    ],
)
def test_a_file_of_words_that_cannot_be_asked_in_says_why(tmp_path, change, why):
    path = written(tmp_path, TOML.replace(*change))
    with pytest.raises(InvalidRequest) as refused:
        from_file(path)
    assert why in str(refused.value)
    assert "words.toml" in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="cannot be read"):
        Settings(protocol="paper", prompt_file=str(tmp_path / "none.toml")).wording  # noqa: B018


@pytest.mark.parametrize("said", [PARAGRAPHS, SCENE, PROMPT_TEXT])
def test_words_survive_the_way_to_a_model(said):
    assert from_words(json.loads(json.dumps(to_words(said))), "") == said


@pytest.mark.parametrize("said", [PARAGRAPHS, SCENE])
def test_each_prompt_has_the_part_that_the_paper_gives_it(said):
    standard, instructed, explicit = (said.tasks[prompt] for prompt in Prompt if prompt)
    assert standard.endswith(f"\n{QUESTION}")
    assert instructed.endswith(f"\n{QUESTION}")
    assert instructed.startswith(standard.removesuffix(QUESTION))
    assert "report" in instructed
    assert "report" not in standard
    # The question becomes one of yes and no, whose yes means that there is no conflict.
    assert f"'{QUESTION}' the same" in explicit
    assert explicit.startswith(standard.removesuffix(QUESTION))


def test_sources_of_one_modality_in_two_languages_do_not_cross_modalities():
    assert not case(TEXT, CHINESE, variant="en-zh").crosses_modalities
    assert not case(PICTURE, PICTURE, variant="image-image").crosses_modalities
    assert case(TEXT, PICTURE, variant="text-image").crosses_modalities


def test_a_scene_is_asked_about_otherwise_than_paragraphs_even_where_it_is_only_described():
    assert not case(TEXT, CHINESE, variant="en-zh").is_scene
    assert case(TEXT, PICTURE, variant="en-picture").is_scene
    assert case(TEXT, TEXT, variant="text-text").is_scene
    assert SHIPPED.of(True) is SCENE
    assert SHIPPED.of(False) is PARAGRAPHS


def test_the_pairing_of_figure_5_lifts_the_later_source_and_across_modalities_the_smaller():
    settings = Settings(pairing="figure5", policy="fixed", epsilon=1.5, scope="all")
    assert settings.prompts_of(crosses=False) == ["standard"]
    assert settings.rebalance_of(crosses=False) == Rebalance("fixed", {}, {LATER: 1.5}, Scope.ALL)
    assert settings.prompts_of(crosses=True) == ["explicit"]
    assert settings.rebalance_of(crosses=True) == Rebalance("fixed", {"epsilon": 1.5}, {}, Scope.ALL)
    unbiased = Settings(pairing="figure5")
    assert unbiased.prompts_of(crosses=True) == ["explicit"]
    assert unbiased.rebalance_of(crosses=True).policy == "none"


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"protocol": "papers"}, "'papers' is not one of xmguard, paper"),
        ({"prompt_file": "x.toml"}, "goes with protocol paper"),
        ({"pairing": "figure4"}, "'figure4' is not one of figure5"),
        ({"pairing": "figure5", "prompts": "explicit"}, "are what pairing figure5 chooses"),
        ({"pairing": "figure5", "policy": "target", "parameters": "share.s2=0.5"}, "goes with policy fixed"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(told, why):
    settings = Settings(**told)
    with pytest.raises(InvalidRequest, match=why):
        (settings.wording, settings.prompts_of(crosses=True), settings.rebalance_of(crosses=True))


def test_everything_that_makes_another_run_is_in_the_label(tmp_path):
    own = Settings(policy="fixed", epsilon=1.0)
    told = [
        Settings(),
        own,
        Settings(policy="fixed", epsilon=1.0, scope="all"),
        Settings(policy="fixed", epsilon=1.0, pairing="figure5"),
        Settings(protocol="paper"),
        Settings(protocol="paper", prompt_file=str(written(tmp_path, TOML))),
        Settings(max_tokens=9),
        Settings(temperature=1.0),
    ]
    labels = [one.label for one in told]
    assert labels[0] == ""
    assert labels[4] == "paper"
    assert labels[5].startswith("paper words.toml ")
    assert len(set(labels)) == len(labels)
    judges = written(tmp_path, "{question} {response}", "judge.txt")
    shown = Settings(judge="openai", judge_model="m", judge_file=str(judges)).label
    judges.write_text("Now {question} {response}", encoding="utf-8")
    assert Settings(judge="openai", judge_model="m", judge_file=str(judges)).label != shown
