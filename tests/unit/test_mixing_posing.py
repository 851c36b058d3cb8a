"""The suite that checkpoints are chosen by: the generators' own pairs, of texts for neither training nor measuring."""

from collections import defaultdict

import pytest

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.clqa.corpus import CLQA
from xmguard_research.mixing.command_evaluate import wants
from xmguard_research.mixing.corpus import DEV, SPLITS, TRAIN
from xmguard_research.mixing.evaluating import key
from xmguard_research.mixing.generators import GENERATORS
from xmguard_research.mixing.posing import CONFLICT, Wanted, posed

VARIANTS = ("en-en", "en-es", "tr-tr", "es-en")
TOPICS = 9


@pytest.fixture(scope="module", params=["short", "long"])
def size(request):
    return request.param


@pytest.fixture(scope="module")
def dev(size):
    return list(posed(Wanted("dev", VARIANTS, TOPICS, TOPICS, size=size)))


def texts(one):
    return [span.text for span in one.case.spans]


def test_a_conflict_and_its_control_differ_in_one_source_and_share_their_item(dev):
    twins = defaultdict(dict)
    for one in dev:
        if one.task == CONFLICT:
            twins[one.case.id.rpartition("/")[0]][one.case.conflict] = one
    assert len(twins) == TOPICS * len(VARIANTS) * 2
    for pair in twins.values():
        conflict, control = pair[True], pair[False]
        assert sum(one != other for one, other in zip(texts(conflict), texts(control), strict=True)) == 1
        assert conflict.case.item == control.case.item
        assert (conflict.labels, conflict.case.question) == (control.labels, control.case.question)
        assert len(set(conflict.case.answers)) == 2
        assert len(set(control.case.answers)) == 1
    assert len({one.case.item for one in dev}) == TOPICS


def test_every_pair_is_read_in_both_orders(dev):
    for variant in VARIANTS:
        own = [one for one in dev if f"/{variant}/" in one.case.id]
        for conflict in (True, False):
            straight, swapped = (
                [texts(one) for one in own if one.case.conflict is conflict and f"/{order}/" in one.case.id]
                for order in ("straight", "swapped")
            )
            assert len(straight) == TOPICS
            assert swapped == [pair[::-1] for pair in straight]


def test_the_sources_are_those_of_the_generators_twins(dev, size):
    asked = {one.case.id: one.case for one in dev}
    pairs = [variant.split("-") for variant in VARIANTS]
    options = {"split": DEV, "topics": TOPICS, "languages": pairs, "size": size, "third": 0, "phrasings": 1}
    made = list(GENERATORS["pairs"](options | {"kinds": {"twins": 1}}))
    assert len(made) == 2 * TOPICS
    for one in made:
        meta = one["meta"]
        topic = meta["topic"].removeprefix(f"{DEV}-")
        case = asked[f"{topic}/{size}/{'-'.join(meta['languages'])}/straight/{meta['name']}"]
        assert [part["text"] for part in one["messages"][0]["content"]][1:-1:2] == [span.text for span in case.spans]
        assert (meta["question"], meta["conflict"]) == (case.question, case.conflict)
        assert meta["answers"] == list(case.answers)


def test_nothing_that_is_asked_is_trained_on_or_measured_by(dev):
    asked = {one.case.question for one in dev}
    said = {text for one in dev for text in texts(one)}
    for corpus in (SPLITS[TRAIN], CLQA):
        questions = {
            event.question.format(place=place) for event in corpus.events.values() for place in corpus.english.places
        }
        assert not asked & questions
        own = corpus.english
        named = {*own.places, *own.persons}
        assert not [name for name in named for text in said if name in text.split()]
    measured = list(posed(Wanted("clqa", VARIANTS, TOPICS, TOPICS)))
    assert not {text for one in measured for text in texts(one)} & said
    assert not {one.case.item for one in measured} & {one.case.item for one in dev}


def test_a_question_is_never_over_two_sources_of_one_event(dev):
    """The texts have seven events, so the last of eight topics and the first are of one."""
    questions = [one for one in posed(Wanted("dev", ("en-es",), 0, 8)) if len(one.labels) == 2]
    assert len(questions) == 7
    assert all(one.labels in (("en", "es"), ("es", "en")) and not one.case.conflict for one in questions)


def test_the_same_sources_are_asked_for_yes_or_no():
    dev, polar = (list(posed(Wanted(suite, VARIANTS[:2], TOPICS, TOPICS))) for suite in ("dev", "dev-polar"))
    assert [(one.task, one.labels, texts(one), one.case.conflict) for one in polar] == [
        (one.task, one.labels, texts(one), one.case.conflict) for one in dev
    ]
    for plain, one in zip(dev, polar, strict=True):
        assert one.suite == "dev-polar"
        assert one.case.question != plain.case.question
        if one.task == CONFLICT:
            assert set(one.case.answers) == {"yes", "no"} if one.case.conflict else len(set(one.case.answers)) == 1
        asked = [answer in one.case.question for answer in plain.case.answers]
        assert [answer == "yes" for answer in one.case.answers] == asked
        assert one.expected == ("" if one.task == CONFLICT else one.case.answers[0])
    controls = [one.case.answers[0] for one in polar if one.task == CONFLICT and not one.case.conflict]
    assert 0.4 < controls.count("yes") / len(controls) < 0.6


def test_every_response_says_that_it_is_of_this_suite(dev):
    assert {one.suite for one in dev} == {"dev"}
    assert all(key(one, "standard").startswith("dev/") for one in dev)


def test_languages_go_to_both_suites_that_have_them():
    settings = {"items": 1, "questions": 1, "prompts": "standard", "size": "short", "kinds": "", "seed": None}
    both = wants("dev,clqa", "tr-tr", **settings)
    assert [(one.suite, one.variants) for one in both] == [("dev", ("tr-tr",)), ("clqa", ("tr-tr",))]
    assert wants("dev,clqa,dev", "tr-tr", **settings) == both
    with pytest.raises(InvalidRequest, match="variants: 'tr-tr' is there twice"):
        wants("dev", "tr-tr,tr-tr", **settings)
    with pytest.raises(InvalidRequest, match="prompts: 'standard' is there twice"):
        wants("dev", "tr-tr", **settings | {"prompts": "standard,standard"})
    with pytest.raises(InvalidRequest, match="nothing is asked"):
        wants("dev", "tr-tr", **settings | {"items": 0, "questions": 0})
    (alone,) = wants("dev", "", **settings)
    assert alone.variants == wants("clqa", "", **settings)[0].variants
