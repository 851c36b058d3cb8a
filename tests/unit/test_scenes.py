"""Generated scenes: what they say follows from their values, and test combinations are never trained on."""

import re
from collections import Counter
from functools import cache
from itertools import combinations
from random import Random

import pytest

from xmguard.errors import InvalidRequest
from xmguard_research.scenes import KINDS, SKILLS, SPLITS, Scene, scenes
from xmguard_research.scenes.baseline import blind
from xmguard_research.scenes.concepts import COUNT_WORDS, NEW_SIGN_WORDS, SIGN_WORDS, THINGS
from xmguard_research.scenes.objects import OPPOSITE, places
from xmguard_research.scenes.pictures import LAYOUTS

READ_BY_VALUE = {"sign_new", "price", "document", "table"}
"""Skills whose values are held out one by one; every word that answers in another one is known from training."""
NAMED = {"activity", "thing", "first", "second", "shape"}
"""Slots whose values somebody may look for."""


@cache
def series(split: str, count: int = 1400) -> tuple[Scene, ...]:
    return tuple(scenes(split=split, seed=5, count=count))


def both() -> tuple[Scene, ...]:
    return series("train")[:154] + series("test")[:154]


def combinations_of(split: str) -> set[tuple[str, ...]]:
    return {
        (scene.layout.name, *names, *(scene.values[name] for name in names))
        for scene in series(split)
        for names in scene.layout.together
        if all(name in scene.values for name in names)
    }


def test_a_seed_gives_the_same_scenes_again_and_another_gives_others():
    first, again = (list(scenes(split="train", seed=1, count=50)) for _ in range(2))
    other = list(scenes(split="train", seed=2, count=50))
    assert first == again
    assert [scene.questions for scene in first] == [scene.questions for scene in again]
    assert [scene.items for scene in first] != [scene.items for scene in other]


def test_kinds_take_turns_and_every_layout_gets_some():
    assert Counter(scene.kind for scene in series("train")) == dict.fromkeys(KINDS, 200)
    for split in SPLITS:
        drawn = {scene.layout.name for scene in series(split)}
        assert drawn == {layout.name for layout in LAYOUTS if split in layout.splits}


def test_only_the_kinds_that_were_asked_for_are_drawn():
    assert {scene.kind for scene in scenes(split="test", seed=0, count=9, kinds=["sign", "table"])} == {"sign", "table"}


@pytest.mark.parametrize(("split", "kinds", "field"), [("dev", KINDS, "split"), ("test", ["photo"], "kinds")])
def test_an_unknown_split_or_kind_is_refused(split: str, kinds: list[str], field: str):
    with pytest.raises(InvalidRequest, match=f"{field}: .* is not one of"):
        next(scenes(split=split, seed=0, count=1, kinds=kinds))


def test_a_picture_has_three_to_six_questions_with_short_answers_in_lower_case():
    for scene in both():
        assert 3 <= len(scene.questions) <= 6, scene
        for question in scene.questions:
            assert question.skill in SKILLS
            assert question.answer == question.answer.lower()
            assert 1 <= len(question.answer.split()) <= 2, question
            assert question.text[0] == question.text[0].upper()
            assert not set("{}") & set(question.text)


def test_every_skill_is_tested_and_all_but_new_words_are_trained():
    def skills(split: str) -> set[str]:
        return {question.skill for scene in series(split) for question in scene.questions}

    assert skills("test") == set(SKILLS)
    assert skills("train") == set(SKILLS) - {"sign_new"}


def test_a_fact_has_three_wordings_and_three_statements_at_least():
    for scene in both():
        for fact in scene.facts:
            assert len(set(fact.questions)) == len(fact.questions) >= 3
            assert len(set(fact.statements)) == len(fact.statements) >= 3
            assert scene.values[fact.slot] not in scene.alternatives(fact.slot)


def test_held_out_combinations_are_never_trained_on():
    held_out = combinations_of("test")
    assert len(held_out) > 500
    assert not held_out & combinations_of("train")
    assert not set(NEW_SIGN_WORDS) & set(SIGN_WORDS)
    assert not {scene.values.get("word") for scene in series("train")} & set(NEW_SIGN_WORDS)


def test_answers_of_the_test_are_known_from_training_unless_values_are_held_out():
    known = {(question.skill, question.answer) for scene in series("train") for question in scene.questions}
    asked = {(question.skill, question.answer) for scene in series("test") for question in scene.questions}
    new = {skill for skill, answer in asked - known if not answer.isdigit()}
    assert new <= READ_BY_VALUE
    assert "sign_new" in new


def test_a_twin_differs_in_exactly_one_fact_and_stays_in_its_split():
    for scene in both():
        for fact in scene.facts:
            for value in scene.alternatives(fact.slot)[:1]:
                twin = scene.with_fact(fact.slot, value)
                changed = [
                    new.slot for old, new in zip(scene.facts, twin.facts, strict=True) if old.answer != new.answer
                ]
                assert changed == [fact.slot]
                assert twin.look == scene.look
                assert twin.layout.belongs(twin.values, scene.split)
                assert twin.fact(fact.slot).questions == fact.questions
                assert not set(twin.fact(fact.slot).statements) & set(fact.statements), fact


def test_a_twin_of_a_twin_leads_back():
    scene = series("train")[1]
    slot = scene.facts[0].slot
    there = scene.with_fact(slot, scene.alternatives(slot)[0])
    assert there != scene
    assert there.with_fact(slot, scene.values[slot]).items == scene.items


def test_a_value_from_elsewhere_is_refused_and_the_possible_ones_are_named():
    scene = next(scene for scene in series("train") if scene.kind == "activity")
    with pytest.raises(ValueError, match=r"activity of train-\S+ cannot be 'sleeping'; it can be .*"):
        scene.with_fact("activity", "sleeping")
    with pytest.raises(KeyError, match="has no fact 'count'; it has activity, thing, sky"):
        scene.fact("count")


def test_a_statement_says_the_answer():
    for scene in both():
        for fact in scene.facts:
            words = {fact.answer, COUNT_WORDS.get(fact.answer, ""), OPPOSITE.get(fact.answer, "")} - {""}
            if fact.answer in THINGS:
                words.add(THINGS[fact.answer].plural)
            for statement in fact.statements:
                assert any(word in statement.lower() for word in words), (fact.slot, statement)


def test_two_statements_of_every_fact_are_given():
    scene = series("test")[0]
    assert len(scene.sentences) == 2 * len(scene.facts)
    assert set(scene.sentences) <= {statement for fact in scene.facts for statement in fact.statements}


def test_yes_is_answered_if_and_only_if_it_is_there():
    seen = Counter()
    for scene in series("train") + series("test"):
        for question in scene.questions:
            if question.skill == "presence":
                there = any(re.search(rf"\b{value}\b", question.text) for name, value in scene.items if name in NAMED)
                assert question.answer == ("yes" if there else "no"), (scene, question)
                seen[scene.layout.name, question.answer] += 1
    for layout in {name for name, _ in seen}:
        yes, no = seen[layout, "yes"], seen[layout, "no"]
        assert 0.4 < yes / (yes + no) < 0.6, layout


def test_the_opposite_direction_answers_the_question_turned_round():
    pairs = [scene for scene in both() if scene.layout.name == "objects.pair"]
    for scene in pairs:
        first, second = scene.values["first"], scene.values["second"]
        answers = [question.answer for question in scene.questions if question.skill == "position"]
        assert answers == [scene.values["relation"], OPPOSITE[scene.values["relation"]]]
        turned = [question for question in scene.questions if question.skill == "position"][1]
        assert turned.text.find(second) >= 0
        assert turned.text.find(first) >= 0


def test_a_table_is_read_in_both_directions():
    for scene in (scene for scene in both() if scene.kind == "table"):
        rows = {scene.values[f"item{row}"]: scene.values[f"price{row}"] for row in (1, 2, 3)}
        assert len(set(rows.values())) == 3
        for question in scene.questions:
            named = [item for item in rows if re.search(rf"\b{item}\b", question.text)]
            if named:
                assert question.answer == rows[named[0]]
            elif re.search(r"\d", question.text):
                assert rows[question.answer] in question.text


def test_answers_of_a_skill_are_spread():
    answers: dict[str, Counter[str]] = {skill: Counter() for skill in SKILLS}
    for scene in series("train"):
        for question in scene.questions:
            answers[question.skill][question.answer] += 1
    for skill, most in {"activity": 0.12, "colour": 0.2, "count": 0.3, "object": 0.06, "position": 0.33}.items():
        assert answers[skill].most_common(1)[0][1] / answers[skill].total() < most


def test_who_does_not_look_is_seldom_right():
    for row in blind(series("train"), series("test")):
        assert max(row.by_skill, row.by_wording) < 0.6, row
        assert row.skill == "presence" or max(row.by_skill, row.by_wording) < 0.4, row


def test_things_that_are_counted_neither_touch_nor_leave_the_picture():
    for seed in range(300):
        drawn = places(Random(seed), 9)
        # Turned by ten degrees, a square is 1.16 times as wide.
        reach = 1.16 * drawn[0][2] / 2
        assert all(reach <= x <= 224 - reach and reach <= y <= 224 - reach for x, y, _ in drawn)
        assert all(max(abs(a[0] - b[0]), abs(a[1] - b[1])) >= drawn[0][2] for a, b in combinations(drawn, 2))
