"""What is asked of the tiny vision-language model, how it is counted, and the card that says so."""

import json
import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

# The source folders, so that the tests also run where the plugin is not installed.
sys.path.insert(0, str(Path(__file__).parents[2] / "plugins" / "xmguard-smolvlm-tiny" / "src"))
sys.path.insert(0, str(Path(__file__).parents[2] / "plugins" / "xmguard-smolvlm-tiny" / "tests"))
from tiny_parts import make_base, make_parts, noise

from xmguard.errors import SetupIncomplete
from xmguard.profile import CARD
from xmguard_research.scenes import STYLES, draw, scenes
from xmguard_research.scenes.assets import art
from xmguard_research.tiny_vlm.__main__ import app
from xmguard_research.tiny_vlm.answering import Asker, prompts
from xmguard_research.tiny_vlm.card import card, made_from, replaced
from xmguard_research.tiny_vlm.evaluating import (
    Reply,
    chat_score,
    counted,
    guessed_run,
    holds_art,
    picture_runs,
    substitutes,
    summary,
    text_run,
)
from xmguard_research.tiny_vlm.prompts import Asked, Prompter

RUNS = ("noto", "noto shuffled", "noto joint", "fluent", "fluent shuffled", "guessed", "text smolvlm-tiny")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return make_parts(make_base(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def asker(parts):
    model, processor = parts
    # The tiny tokenizer has no padding token; SmolLM2's ends a turn.
    processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return Asker(model, processor, processor.tokenizer)


def reply(said="", answer="red", skill="colour", run="noto", source="p0"):
    return Reply(run, source, skill, "?", answer, said)


def test_asked_in_a_batch_the_model_says_what_it_says_alone(asker, registry):
    prompter = Prompter(asker.processor, registry)
    asked = [Asked("What?", "x", "object"), Asked("What is in the picture?", "x", "object")]
    wanted = [
        *prompts(prompter.conversation([None], asked, 0), noise(0)),
        *prompts(prompter.conversation(["A."], asked), None),
    ]
    told = []
    together = asker.replies(wanted, 4, told.append)
    assert told == [4]
    assert together == [asker.replies([one], 1, told.append)[0] for one in wanted]
    assert len(set(together)) > 1
    rows = text_run(asker, asker.processor, registry, "tiny", 2, 8, told.append)
    assert {row.run for row in rows} == {"text tiny"}
    assert chat_score(asker)["nats_per_token"] < 0


def test_every_scene_has_a_substitute_of_its_layout_and_fields():
    about = list(scenes(split="test", seed=7, count=140))
    others = substitutes(about)
    assert len({one.id for one in others}) == len(about)
    for one, other in zip(about, others, strict=True):
        assert other.layout is one.layout
        assert set(other.values) == set(one.values)
        assert other.values != one.values
        assert other.id not in {each.id for each in about}
    # Where a question names no thing of its own picture, the substitute answers one of the same skill.
    for one, other in zip(about, others, strict=True):
        assert {fact.skill for fact in one.facts} == {fact.skill for fact in other.facts}


def test_a_scene_like_which_there_is_none_is_refused():
    one = next(iter(scenes(split="test", seed=7, count=1, kinds=["price"])))
    with pytest.raises(ValueError, match="no test scene has the fields of one of price"):
        substitutes([replace(one, items=one.items[:1])])


def test_the_held_out_style_is_asked_about_pictures_of_art_alone(asker, registry, monkeypatch):
    styles = []
    tell = [].append

    def blank(scene, *, style):
        styles.append((style, holds_art(scene)))
        return noise(0)

    monkeypatch.setattr("xmguard_research.tiny_vlm.evaluating.draw", blank)
    monkeypatch.setattr(asker, "replies", lambda asked, batch, tell: ["x"] * len(asked))
    noto = picture_runs(asker, registry, "noto", 28, 8, tell, joint=True)
    fluent = picture_runs(asker, registry, "fluent", 28, 8, tell, joint=False)
    assert Counter(styles)["fluent", False] == 0
    # Documents, tables and paragraphs are three kinds of seven; of four pictures of objects one is of shapes.
    assert Counter(styles)["fluent", True] == 2 * 15
    assert {row.source for row in fluent} < {row.source for row in noto} == {f"test-7-{n:06d}" for n in range(28)}
    plain, joint = ([replace(row, run="") for row in noto if row.run == run] for run in ("noto", "noto joint"))
    assert plain == joint
    assert [row.question for row in guessed_run(28, tell, 10)] == [row.question for row in plain]


def test_pictures_that_hold_art_are_those_that_the_styles_draw_apart():
    try:
        for style in STYLES:
            art(style)
    except SetupIncomplete as missing:
        pytest.skip(str(missing))
    for scene in scenes(split="test", seed=7, count=28):
        noto, fluent = (draw(scene, style=style).tobytes() for style in STYLES)
        assert holds_art(scene) is (noto != fluent), scene.id


def test_shares_count_whole_replies_and_their_interval_resamples_pictures():
    right = [reply("Three", "three", source=f"p{n // 10}") for n in range(50)]
    wrong = [reply("Three dogs", "three", source=f"q{n // 10}") for n in range(50)]
    found = counted([*right, *wrong])
    assert (found["share"], found["questions"], found["sources"]) == (0.5, 100, 10)
    # Ten pictures, all right or all wrong: an interval over a hundred questions would be a third as wide.
    assert found["high"] - found["low"] > 0.45
    assert counted([*right, *wrong], lambda row: row.mentions)["share"] == 1.0


@pytest.mark.parametrize(
    ("answer", "said", "held"),
    [
        ("key", "A monkey.", False),
        ("key", "A Key.", True),
        ("3", "13", False),
        ("3", "3.50", False),
        ("50", "It costs 3.50", False),
        ("3", "There are 3.", True),
        ("$4.50", "It is $4.50.", True),
        ("$4.50", "It is $4.505", False),
        ("17:30", "At 17:30, she said", True),
        ("tea", "steam", False),
    ],
)
def test_a_reply_mentions_an_answer_as_words_of_its_own(answer, said, held):
    assert reply(said, answer).mentions is held


@pytest.fixture
def results():
    generator = random.Random(0)
    rows = [
        reply(generator.choice(["red", "blue"]), skill=skill, run=run, source=f"p{number}")
        for run in (*RUNS, "text smollm2")
        for number in range(12)
        for skill in ("colour", "price")
    ]
    rows += [reply("red", skill="sign_new", run=run, source="p12") for run in ("noto", "noto shuffled", "fluent")]
    rows += [reply("red", skill="table", run="noto", source=f"t{number}") for number in range(20)]
    return {
        **summary(rows),
        "chat": {name: {"nats_per_token": -2.0, "tokens": 9} for name in ("smolvlm-tiny", "smollm2")},
        "training": {"tokens_spent": 1_000_000, "seconds_spent": 60.0},
        "weights_sha256": "ab" * 32,
    }


def test_aims_leave_new_words_out_and_compare_styles_on_the_same_questions(results):
    runs, aims = results["runs"], results["aims"]
    assert aims["noto"]["questions"] == runs["noto"]["all"]["questions"] - 1 == 44
    assert aims["noto, art"]["questions"] == aims["fluent"]["questions"] == 24
    assert aims["reading noto"] == runs["noto"]["price"]
    assert aims["reading fluent"] == runs["fluent"]["price"]


def test_the_card_shows_every_run_and_replaces_itself(results):
    document = "# A\n<!-- tiny_vlm -->\nbefore\n<!-- tiny_vlm -->\nend\n"
    made = card(results)
    once = replaced(document, made)
    assert "before" not in once
    assert "| colour | 12 | 12 | " in once
    assert "-2.000 | -2.000 |" in once
    assert "| table | 20 | 20 | 100% (84% to 100%) | – | – | – | – |" in once
    table = [line.count("|") for line in made.splitlines() if line.startswith("| ") and "shuffled" in line]
    assert table == [9]
    assert replaced(once, made) == once
    with pytest.raises(ValueError, match="has 0 marks"):
        replaced("nothing", made)


def test_a_folder_that_does_not_say_how_it_was_made_is_refused_before_anything_is_asked(tmp_path):
    ran = CliRunner().invoke(app, ["evaluate", "--model", str(tmp_path), "--replies", str(tmp_path / "r.jsonl")])
    assert ran.exit_code == 2
    assert not (tmp_path / "r.jsonl").exists()
    with pytest.raises(ValueError, match=r"has no xmguard\.json; name a folder"):
        made_from(tmp_path)
    known = {"weights_sha256": "ab", "training": {"tokens_spent": 1}, "name": "x"}
    (tmp_path / CARD).write_text(json.dumps(known))
    with pytest.raises(ValueError, match="lacks seconds_spent; pull"):
        made_from(tmp_path)
    known["training"]["seconds_spent"] = 1.0
    (tmp_path / CARD).write_text(json.dumps(known))
    assert made_from(tmp_path) == {"weights_sha256": "ab", "training": known["training"]}
