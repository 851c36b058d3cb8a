"""Items about scenes teach what they say they do, in words and from scenes that no suite shows."""

import re
from collections import Counter
from io import BytesIO
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from xmguard.errors import SetupIncomplete
from xmguard_research.benchmarks.cmqa import items
from xmguard_research.mixing.arms import Experiment
from xmguard_research.mixing.command_experiment import shipped
from xmguard_research.mixing.generators import GENERATORS
from xmguard_research.mixing.generators.scene_options import KINDS, NAMED
from xmguard_research.mixing.generators.scene_words import WORDINGS
from xmguard_research.mixing.generators.scenes import SERIES, SPLIT, STYLE
from xmguard_research.mixing.items import item
from xmguard_research.scenes import assets, scenes
from xmguard_research.scenes.pictures import LAYOUTS
from xmguard_research.scenes.spec import held_out

reading, pairs = GENERATORS["scene-reading"], GENERATORS["scene-pairs"]
TEXTS = [("text", "text")]
BOTH_ANSWER = {"twins": 2, "consistent": 1}


@pytest.fixture
def art():
    try:
        assets.art(STYLE)
    except SetupIncomplete as missing:
        pytest.skip(str(missing))


def asked(record):
    """The parts of the one user message, and the reply."""
    user, assistant = record["messages"]
    return user["content"], assistant["content"]


def told(record):
    return [part["text"] for part in asked(record)[0][1:-1:2]]


def taught():
    """Layouts that there are words for."""
    return [layout for layout in LAYOUTS if layout.kind in KINDS and SPLIT in layout.splits]


def test_every_value_of_the_scenes_it_shows_has_words():
    assert {layout.name: {slot.name for slot in layout.slots} for layout in taught()} == {
        name: set(slots) for name, slots in WORDINGS.items()
    }


def test_no_sentence_and_no_question_is_one_of_the_suites():
    """Templates, so whatever values are filled in."""
    own = {text for slots in WORDINGS.values() for one in slots.values() for text in (*one.questions, *one.statements)}
    theirs = {text for layout in LAYOUTS for slot in layout.slots for text in (*slot.questions, *slot.statements)}
    assert not {text.lower() for text in own} & {text.lower() for text in theirs}


def test_nothing_that_is_told_or_asked_is_told_or_asked_by_the_suite():
    suite = list(items(60, kinds=KINDS, variants=["text-text"]))
    theirs = {line for item in suite for source in item.sources for line in re.split(r"(?<=\.) ", source.told.text)}
    theirs |= {item.question for item in suite}
    made = list(pairs({"topics": 150, "modalities": TEXTS}))
    own = {line for one in made for text in told(one) for line in re.split(r"(?<=\.) ", text)}
    own |= {one["meta"]["question"] for one in made}
    assert len(own) > 300
    assert not own & theirs


def test_scenes_are_none_of_the_suite_and_none_that_the_model_was_made_from():
    """By the combinations that the split goes by: a scene of the suite is held out in every one of them."""
    for scene in islice(scenes(split=SPLIT, seed=SERIES, count=200, kinds=KINDS), 200):
        assert not any(
            held_out(scene.layout.name, *(scene.values[name] for name in names)) for names in scene.layout.together
        )
    ids = {one["meta"]["topic"] for one in reading({"modality": "text", "topics": 50})}
    assert all(name.startswith(f"{SPLIT}-{SERIES}-") for name in ids)


def test_a_reading_in_text_answers_its_question():
    for one in reading({"modality": "text", "topics": 150, "skills": ["activity", "colour", "price", "sign"]}):
        (text,), (_, answer) = told(one), asked(one)
        assert answer.lower() in text.lower()
        assert answer == one["meta"]["answer"]


def test_a_reading_asks_as_is_served():
    one = next(reading({"modality": "text"}))
    parts, _ = asked(one)
    assert [part["type"] for part in parts] == ["text"] * 3
    assert parts[0]["text"] == "Here are some sources.\n\n"
    question = one["meta"]["question"]
    assert parts[2]["text"] == f"\n\nUsing all of the sources above, answer this question in English.\n{question}"


def test_both_modalities_ask_the_same_of_the_same_scenes(art):
    texts, images = (list(reading({"modality": modality, "topics": 6})) for modality in ("text", "image"))
    assert [(one["id"], asked(one)[0][-1], asked(one)[1]) for one in texts] == [
        (one["id"], asked(one)[0][-1], asked(one)[1]) for one in images
    ]
    for one in images:
        picture = asked(one)[0][1]
        assert picture["type"] == "image"
        assert Image.open(BytesIO(picture["png"])).size == (224, 224)


def test_a_seed_gives_the_same_items_and_another_gives_others():
    options = {"topics": 20, "modalities": TEXTS}
    assert list(pairs(options)) == list(pairs(options | {"seed": 0}))
    assert not {one["id"] for one in pairs(options)} & {one["id"] for one in pairs(options | {"seed": 1})}


def test_ids_differ():
    for made in (reading({"modality": "text", "topics": 150}), pairs({"topics": 150, "modalities": TEXTS})):
        assert max(Counter(one["id"] for one in made).values()) == 1


def test_twins_differ_in_one_source_and_the_reply_alone():
    made = list(pairs({"topics": 150, "modalities": TEXTS, "kinds": {"twins": 1}}))
    for conflict, control in zip(made[::2], made[1::2], strict=True):
        assert (conflict["meta"]["conflict"], control["meta"]["conflict"]) == (True, False)
        assert conflict["meta"]["topic"] == control["meta"]["topic"]
        (first, *_), (second, *_) = asked(conflict), asked(control)
        assert sum(one != other for one, other in zip(first, second, strict=True)) == 1
        assert asked(conflict)[1] != asked(control)[1]


def test_every_source_says_what_the_item_says_it_answers():
    skills = ["activity", "colour", "price", "sign"]
    for one in pairs({"topics": 200, "modalities": TEXTS, "skills": skills, "kinds": BOTH_ANSWER}):
        for text, answer in zip(told(one), one["meta"]["answers"], strict=True):
            assert answer.lower() in text.lower()
            assert answer in asked(one)[1]
        assert told(one)[0] != told(one)[1]


def test_topics_become_twins_as_often_as_they_weigh():
    made = list(pairs({"topics": 200, "modalities": TEXTS, "kinds": {"twins": 1, "consistent": 2}}))
    assert 0.15 < sum(one["meta"]["conflict"] for one in made) / len(made) < 0.35


def test_no_source_alone_gives_a_conflict_away():
    """The changed scene of a twin is as often in an agreement as in a conflict, at either place."""
    made = [one["meta"] for one in pairs({"topics": 500, "modalities": TEXTS, "kinds": BOTH_ANSWER})]
    for place in (0, 1):
        for conflict in (True, False):
            changed = ["/" in one["scenes"][place] for one in made if one["conflict"] is conflict]
            assert 0.41 < sum(changed) / len(changed) < 0.59


def test_where_one_source_answers_the_other_does_not_name_what_is_asked():
    made = list(pairs({"topics": 200, "modalities": TEXTS, "kinds": {"one-answers": 1}}))
    words = {"activity": "person|somebody", "price": "price|offer|one can have|tag", "sign": "sign"}
    for one in made:
        silent = one["meta"]["answers"].index(None)
        assert one["meta"]["scene"] in NAMED
        assert not re.search(words[one["meta"]["scene"]], told(one)[silent].lower()), one
    assert {one["meta"]["answers"].index(None) for one in made} == {0, 1}


def test_pictures_of_a_pair_are_drawn_with_different_looks(art):
    for one in pairs({"topics": 2, "modalities": [("image", "image")], "kinds": {"consistent": 1}}):
        pictures = [part["png"] for part in asked(one)[0] if part["type"] == "image"]
        assert len(set(pictures)) == 2


def test_where_no_source_answers_nothing_is_said_to_be_an_answer():
    for one in pairs({"topics": 20, "modalities": TEXTS, "kinds": {"none-answers": 1}}):
        assert one["meta"]["answers"] == [None, None]
        assert one["meta"]["prompt"] != "explicit"


def test_a_mixed_pair_comes_in_either_order_and_says_in_which(art):
    made = list(pairs({"topics": 6, "modalities": [("text", "image")], "kinds": {"consistent": 1}}))
    orders = [tuple(part["type"] for part in asked(one)[0][1:-1:2]) for one in made]
    assert [tuple(one["meta"]["modalities"]) for one in made] == orders
    assert set(orders) == {("text", "image"), ("image", "text")}


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (reading, {}, "modality"),
        (reading, {"modality": "sound"}, "'text' or 'image'"),
        (reading, {"modality": "text", "colour": "red"}, "colour"),
        (reading, {"modality": "text", "scenes": ["price"], "skills": ["activity"]}, "answer no question for activity"),
        (pairs, {"kinds": {"twins": 0}}, "one that is more"),
        (pairs, {"prompts": {"explicit": 1}}, "does not ask of one-answers, none-answers"),
        (pairs, {"scenes": ["objects", "sign"], "skills": ["count"]}, "scenes of two kinds"),
        (pairs, {"scenes": ["sign"]}, "scenes of two kinds"),
    ],
)
def test_options_that_cannot_be_are_refused(make, options, said):
    with pytest.raises(ValueError, match=said):
        next(make(options))


def test_a_recipe_can_hold_what_a_generator_drew(art):
    one = next(pairs({"topics": 1, "modalities": [("image", "image")]}))
    made = item(one, source="s", modality="image", where="here", picture=lambda path: pytest.fail(path))
    drawn = [part.seen() for part in made.messages[0].content if not isinstance(part, str)]
    assert [(seen.suffix, seen.content) for seen in drawn] == [
        (".png", part["png"]) for part in asked(one)[0] if part["type"] == "image"
    ]


def test_the_shipped_experiment_asks_generators_for_what_they_have():
    experiment = Experiment.read(shipped(Path("crossmodal")))
    for recipe in (experiment.stage_recipe(Path()), experiment.recipe("instance", 0, Path())):
        for source in recipe.data.sources:
            GENERATORS[source.generator](source.options)


def test_no_five_words_in_a_row_are_those_of_the_suites_sentences():
    def fives(texts):
        """Of what stands between values, in lower case."""
        runs = [re.findall(r"[\w']+", piece.lower()) for text in texts for piece in re.split(r"\{\w+\}", text)]
        return {tuple(run[at : at + 5]) for run in runs for at in range(len(run) - 4)}

    own = fives(
        text for slots in WORDINGS.values() for one in slots.values() for text in (*one.questions, *one.statements)
    )
    theirs = fives(text for layout in LAYOUTS for slot in layout.slots for text in (*slot.questions, *slot.statements))
    assert own
    assert not own & theirs
