"""Pairs of a picture and a sentence: balanced, one fact apart, and controls of other scenes. Draws nothing."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest

from xmguard import Media, Span
from xmguard_research.metrics import Bootstrap, auroc
from xmguard_research.scenes.spec import SKILLS
from xmguard_research.scenes.twins import twins
from xmguard_research.verdict.baselines import PICTURE_ONLY, TEXT_ONLY, from_words, without_model
from xmguard_research.verdict.pairs import Label, Pair
from xmguard_research.verdict.picture_pairs import (
    ORDERS,
    DrawnScene,
    four_way_pairs,
    lent,
    order_of,
    picture_items,
    shuffled_pairs,
    skill_of,
    with_conflicts,
)
from xmguard_research.verdict.requests import request_of
from xmguard_research.verdict.splits import fold
from xmguard_research.verdict.words import content_words

CONTENTS = """
from xmguard_research.verdict.picture_pairs import *
items = picture_items(21)
print([pair.content for pair in (*four_way_pairs(items, "noto"), *with_conflicts(items, "noto"))])
"""


@cache
def items(count=60):
    return tuple(picture_items(count))


def made(kind, style="noto"):
    return list(kind(items(), style))


def source(pair):
    """The picture's spec and the text of a pair."""
    (picture,) = filter(None, pair.pictures)
    (text,) = filter(None, pair.texts)
    return picture.spec, text


def stub(spec):
    """A picture that is nothing but its name."""

    class Stub:
        def __init__(self):
            self.spec = spec

        def png(self):
            return spec.encode()

    return Stub()


# -- a pair with a picture -------------------------------------------------------------------------------------------


def test_a_pair_without_a_picture_is_identified_as_before():
    pair = Pair("k", "i", "y", "What?", ("red", "blue"), ("en", "en"), Label.CONFLICT)
    assert pair.content == "7bf786afe50e0aa7"
    assert not pair.has_picture
    assert pair.modalities == ("text", "text")


def test_a_pair_is_identified_by_what_its_picture_shows_and_where_it_stands():
    first, other = (
        Pair("k", "i", "y", "What?", ("", "blue"), ("und", "en"), Label.CONFLICT, (stub(spec), None)) for spec in "ab"
    )
    turned = replace(first, texts=("blue", ""), pictures=(None, stub("a")))
    assert len({first.content, other.content, turned.content}) == 3
    assert replace(first, pictures=(stub("a"), None)).content == first.content
    with pytest.raises(ValueError, match="text and a picture at the same place"):
        replace(first, texts=("red", "blue"))


def test_a_request_holds_the_picture_where_the_pair_has_it():
    pair = Pair("k", "i", "y", "What?", ("blue", ""), ("en", "und"), Label.CONFLICT, (None, stub("a")))
    request = request_of(pair)
    assert request.spans == (
        Span("s1", "blue", language="en"),
        Span("s2", media=Media("image/png", b"a"), language="und"),
    )
    assert request.question == "What?"
    assert pair.modalities == ("text", "image")


# -- the yardsticks --------------------------------------------------------------------------------------------------


def test_twins_differ_in_the_fact_that_is_asked_about_and_in_nothing_else():
    for item in items():
        for here, there in (item.scenes, item.others):
            assert (here.look, here.layout, here.split) == (there.look, there.layout, "test")
            assert [name for name in here.values if here.values[name] != there.values[name]] == [item.slot]
            assert set(here.values) == set(there.values)
            facts = here.fact(item.slot), there.fact(item.slot)
            assert facts[0].questions == facts[1].questions
        facts = [scene.fact(item.slot) for scene in item.scenes]
        assert item.question in facts[0].questions
        places = {fact.statements.index(said) for fact, said in zip(facts, item.statements, strict=True)}
        assert len(places) == 1, "the same words but for the value"
        assert item.statements[0] != item.statements[1]
        assert item.name.split("-")[0] == facts[0].skill


@pytest.mark.parametrize("kind", [four_way_pairs, shuffled_pairs])
def test_every_picture_and_every_text_stands_equally_often_in_conflict_and_consistent_pairs(kind):
    pairs = made(kind)
    for part in (0, 1):
        counts = {
            label: Counter((pair.item, order_of(pair), source(pair)[part]) for pair in pairs if pair.label is label)
            for label in Label
        }
        assert counts[Label.CONFLICT] == counts[Label.CONSISTENT]
        assert not counts[Label.UNDETERMINED]
    assert len({pair.key for pair in pairs}) == len({pair.content for pair in pairs}) == len(pairs)


def test_every_pair_comes_in_both_orders_with_one_label():
    pairs = made(four_way_pairs)
    assert len(pairs) == 480
    by_order = {order: {source(p): p.label for p in pairs if order_of(p) == order} for order in ORDERS}
    assert by_order[ORDERS[0]] == by_order[ORDERS[1]]
    for pair in pairs:
        conflict = {item.name: item for item in items()}[pair.item]
        picture, text = source(pair)
        shown = [DrawnScene(scene, "noto").spec for scene in conflict.scenes].index(picture)
        assert pair.conflict == (shown != conflict.statements.index(text))
        assert pair.languages == tuple("und" if shown else "en" for shown in pair.pictures)
        assert skill_of(pair) in SKILLS


def test_the_control_shows_another_scene_that_says_neither_value():
    own = {source(pair)[0] for pair in made(four_way_pairs)}
    pairs = made(shuffled_pairs)
    assert own.isdisjoint(source(pair)[0] for pair in pairs)
    assert Counter(map(order_of, pairs)) == dict.fromkeys(ORDERS, 120)
    for item in items():
        assert {scene.layout for scene in item.others} == {item.scenes[0].layout}
        said = [scene.fact(item.slot).answer for scene in (*item.scenes, *item.others)]
        assert len(set(said)) == 4
    belongs = {scene.id.split("/")[0]: item.name for item in items() for scene in (item.scenes[0], item.others[0])}
    assert len(belongs) == 2 * len(items()), "no scene is shown for two items"


def test_what_is_irrelevant_is_lent_within_the_fold_and_cannot_answer():
    owner = {}
    for item in items():
        for scene in item.scenes:
            owner[DrawnScene(scene, "noto").spec] = item
    by_name = {item.name: item for item in items()}
    pairs = made(with_conflicts)
    irrelevant = [pair for pair in pairs if not pair.conflict]
    assert len(irrelevant) > 50
    assert {pair.label for pair in irrelevant} == {Label.UNDETERMINED}
    assert {pair.item for pair in irrelevant} == {pair.item for pair in pairs if pair.conflict}
    assert len({pair.key for pair in pairs}) == len(pairs)
    lent = Counter()
    for pair in irrelevant:
        picture, text = source(pair)
        own = by_name[pair.item]
        assert (owner[picture] is own) != (text in own.statements)
        if owner[picture] is not own:
            lent[owner[picture].name] += 1
            assert fold(owner[picture].name) == fold(own.name)
            assert owner[picture].scenes[0].kind != own.scenes[0].kind
        else:
            assert content_words(pair.question).isdisjoint(content_words(text))
            assert any(text in other.statements and fold(other.name) == fold(own.name) for other in items())
    assert max(lent.values()) <= 2
    assert not [pair for pair in irrelevant if "background" in pair.question or "sky" in pair.question]


def test_items_without_a_lender_are_counted():
    kept = {pair.item for pair in made(with_conflicts)}
    assert lent(items()).startswith(f"Of 60 items with a picture {len(kept)} have something irrelevant beside them; ")
    assert f"; the other {60 - len(kept)} ask for" in lent(items())
    assert 0 < len(kept) < 60


def test_scenes_that_make_too_few_items_are_refused():
    with pytest.raises(ValueError, match="14 scenes of seed 0 make 2 twins, not 7; take another seed"):
        twins(7, split="test", seed=0, skills=["sign", "sign_new"])


def test_both_styles_have_the_same_items_and_other_pictures():
    noto, fluent = (made(four_way_pairs, style) for style in ("noto", "fluent"))
    assert [(pair.item, pair.texts, pair.label) for pair in noto] == [(p.item, p.texts, p.label) for p in fluent]
    assert {pair.content for pair in noto}.isdisjoint(pair.content for pair in fluent)
    assert {pair.yardstick for pair in (*noto, *fluent)} == {"pictures-noto", "pictures-fluent"}


def test_pairs_are_the_same_in_every_process_and_of_every_count():
    def run():
        return subprocess.run([sys.executable, "-c", CONTENTS], capture_output=True, text=True, check=True).stdout

    made_here = picture_items(21)
    pairs = [*four_way_pairs(made_here, "noto"), *with_conflicts(made_here, "noto")]
    assert run().strip() == str([pair.content for pair in pairs])
    assert made_here == list(items())[:21]
    assert made_here != picture_items(21, seed=1)


# -- baselines -------------------------------------------------------------------------------------------------------


def test_neither_the_text_nor_the_picture_alone_tells_anything():
    for pairs in (made(four_way_pairs), made(shuffled_pairs)):
        found = without_model(pairs)
        assert set(found) == {TEXT_ONLY, PICTURE_ONLY}
        bootstrap = Bootstrap([pair.item for pair in pairs], resamples=10)
        for scores in found.values():
            assert None not in scores
            assert bootstrap.estimate(auroc, [pair.conflict for pair in pairs], scores).value == pytest.approx(0.5)


def test_words_that_give_the_label_away_are_found():
    pairs = made(four_way_pairs)
    told = from_words(pairs, [f"{'no' if pair.conflict else 'yes'} {source(pair)[1]}" for pair in pairs])
    assert Bootstrap([pair.item for pair in pairs], resamples=10).estimate(
        auroc, [pair.conflict for pair in pairs], told
    ).value == pytest.approx(1.0)
