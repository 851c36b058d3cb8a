"""Items about scenes teach what they say they do, in words and from scenes that no suite shows."""

import re
from collections import Counter
from io import BytesIO
from itertools import islice

import pytest
from PIL import Image

from xmguard.errors import SetupIncomplete
from xmguard_research.benchmarks.cmqa import items
from xmguard_research.mixing.scene_items import KINDS, NAMED, SERIES, SPLIT, STYLE, pairs, reading
from xmguard_research.mixing.scene_wordings import WORDINGS
from xmguard_research.scenes import assets, scenes
from xmguard_research.scenes.pictures import LAYOUTS
from xmguard_research.scenes.spec import held_out

TEXTS = {"text-text": 1}


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
    suite = list(items(120, kinds=KINDS, variants=["text-text"]))
    theirs = {line for item in suite for source in item.sources for line in re.split(r"(?<=\.) ", source.told.text)}
    theirs |= {item.question for item in suite}
    made = list(pairs({"count": 300, "variants": TEXTS}))
    own = {line for one in made for text in told(one) for line in re.split(r"(?<=\.) ", text)}
    own |= {one["meta"]["question"] for one in made}
    assert len(own) > 500
    assert not own & theirs


def test_scenes_are_none_of_the_suite_and_none_that_the_model_was_made_from():
    """By the combinations that the split goes by: a scene of the suite is held out in every one of them."""
    for scene in islice(scenes(split=SPLIT, seed=SERIES, count=200, kinds=KINDS), 200):
        assert not any(
            held_out(scene.layout.name, *(scene.values[name] for name in names)) for names in scene.layout.together
        )
    ids = {one["meta"]["topic"] for one in reading({"modality": "text", "count": 50})}
    assert all(name.startswith(f"{SPLIT}-{SERIES}-") for name in ids)


def test_a_reading_in_text_answers_its_question():
    for one in reading({"modality": "text", "count": 300, "skills": ["activity", "colour", "price", "sign"]}):
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
    texts, images = (list(reading({"modality": modality, "count": 6})) for modality in ("text", "image"))
    assert [(one["meta"], asked(one)[0][-1], asked(one)[1]) for one in texts] == [
        (one["meta"], asked(one)[0][-1], asked(one)[1]) for one in images
    ]
    for one in images:
        picture = asked(one)[0][1]
        assert picture["type"] == "image"
        assert Image.open(BytesIO(picture["png"])).size == (224, 224)


def test_a_seed_gives_the_same_items_and_another_gives_others():
    options = {"count": 20, "variants": TEXTS}
    assert list(pairs(options)) == list(pairs(options | {"seed": 0}))
    assert not {one["id"] for one in pairs(options)} & {one["id"] for one in pairs(options | {"seed": 1})}


def test_ids_differ():
    for made in (reading({"modality": "text", "count": 400}), pairs({"count": 400, "variants": TEXTS})):
        assert max(Counter(one["id"] for one in made).values()) == 1


def test_a_pair_in_conflict_differs_in_the_answer_alone():
    """Scenes of a pair hold the same values but for one, and the sentences of each say what it answers."""
    made = list(pairs({"count": 300, "variants": TEXTS, "skills": ["activity", "colour", "price", "sign"]}))
    for one in made:
        first, second = one["meta"]["answers"]
        assert (first != second) is one["meta"]["conflict"]
        for text, answer in zip(told(one), (first, second), strict=True):
            assert answer.lower() in text.lower()
        assert told(one)[0] != told(one)[1]


def test_conflicts_are_as_often_as_they_weigh():
    made = list(pairs({"count": 600, "variants": TEXTS, "relations": {"conflict": 1, "consistent": 2}}))
    assert 0.28 < sum(one["meta"]["conflict"] for one in made) / 600 < 0.39


def test_no_source_alone_gives_a_conflict_away():
    """The changed scene of a twin is as often in an agreement as in a conflict, at either place."""
    made = [one["meta"] for one in pairs({"count": 1200, "variants": TEXTS})]
    for place in (0, 1):
        for conflict in (True, False):
            changed = ["/" in one["scenes"][place] for one in made if one["conflict"] is conflict]
            assert 0.42 < sum(changed) / len(changed) < 0.58


def test_where_one_source_answers_the_other_does_not_name_what_is_asked():
    made = list(pairs({"count": 200, "variants": TEXTS, "relations": {"one-answers": 1}}))
    words = {"activity": "person|somebody", "price": "price|offer|one can have|tag", "sign": "sign"}
    for one in made:
        silent = one["meta"]["answers"].index(None)
        assert one["meta"]["kind"] in NAMED
        assert not re.search(words[one["meta"]["kind"]], told(one)[silent].lower()), one
    assert {one["meta"]["answers"].index(None) for one in made} == {0, 1}


def test_pictures_of_a_pair_are_drawn_with_different_looks(art):
    for one in pairs({"count": 2, "variants": {"image-image": 1}, "relations": {"consistent": 1}}):
        pictures = [part["png"] for part in asked(one)[0] if part["type"] == "image"]
        assert len(set(pictures)) == 2


@pytest.mark.parametrize("variant", ["text-image", "image-text"])
def test_a_mixed_pair_is_in_the_order_it_says(art, variant):
    one = next(pairs({"count": 1, "variants": {variant: 1}}))
    assert "-".join(part["type"] for part in asked(one)[0][1:-1:2]) == variant


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (reading, {}, "modality"),
        (reading, {"modality": "sound"}, "'text' or 'image'"),
        (reading, {"modality": "text", "colour": "red"}, "colour"),
        (reading, {"modality": "text", "kinds": ["price"], "skills": ["activity"]}, "answer no question for activity"),
        (pairs, {"relations": {"conflict": 0}}, "one of them above 0"),
        (pairs, {"relations": {"one-answers": 1}, "kinds": ["objects", "sign"], "skills": ["count"]}, "one-answers"),
        (pairs, {"relations": {"one-answers": 1}, "kinds": ["sign"]}, "one-answers"),
    ],
)
def test_options_that_cannot_be_are_refused(make, options, said):
    with pytest.raises(ValueError, match=said):
        next(make(options))
