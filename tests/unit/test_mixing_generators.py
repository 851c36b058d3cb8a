"""The generators of training items: replies say what the sources say, and nothing but the answer tells twins apart."""

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from xmguard.languages.english import English
from xmguard.languages.english.prompts import PROMPT_TEXT
from xmguard.request import Prompt
from xmguard_research.benchmarks.clqa.languages import LANGUAGES
from xmguard_research.benchmarks.clqa.topics import topics
from xmguard_research.judge.rules import RuleJudge
from xmguard_research.judge.values import Exchange
from xmguard_research.mixing import corpus
from xmguard_research.mixing.arms import Experiment
from xmguard_research.mixing.command_experiment import shipped
from xmguard_research.mixing.corpus import DEV, SPLITS, TRAIN
from xmguard_research.mixing.generators import GENERATORS, told
from xmguard_research.mixing.generators import options as settings
from xmguard_research.mixing.generators.replies import PHRASINGS, claims
from xmguard_research.mixing.generators.told import Teller

ALL = [[one, other] for one in LANGUAGES for other in LANGUAGES if "en" in (one, other) or one == other]


def made(name, **options):
    return list(GENERATORS[name](options))


def parts(item):
    return [part["text"] for part in item["messages"][0]["content"]]


def sources(item):
    return parts(item)[1:-1:2]


def reply(item):
    return item["messages"][1]["content"]


@pytest.fixture(scope="module")
def pairs():
    return made("pairs", languages=ALL, topics=500, size="short", third=0.2, phrasings=PHRASINGS)


def test_options_give_the_same_items_again_and_a_seed_or_split_gives_others():
    for name in ("reading", "pairs", "cross"):
        first = made(name, topics=8, seed=3)
        assert first == made(name, topics=8, seed=3)
        assert first == [one for one in made(name, topics=9, seed=3) if one["id"] in {same["id"] for same in first}]
        others = made(name, topics=8, seed=4), made(name, topics=8, seed=3, split=DEV)
        assert not any({one["id"] for one in first} & {one["id"] for one in other} for other in others)


def test_ids_are_unique_beyond_the_questions_that_a_split_has():
    items = made("reading", topics=300, split=DEV, size="short")
    assert len({one["id"] for one in items}) == 300 > len(SPLITS[DEV].events) * len(SPLITS[DEV].english.places)


@pytest.mark.parametrize("code", LANGUAGES)
def test_reading_asks_of_one_source_and_replies_its_value_in_english(code):
    items = made("reading", language=code, topics=51, size="short")
    kinds = Counter(one["meta"]["kind"] for one in items)
    assert len(kinds) == 16
    for one in items:
        preamble, source, task = parts(one)
        assert preamble == PROMPT_TEXT.preamble
        assert task == PROMPT_TEXT.tasks[Prompt.STANDARD].replace("{question}", one["meta"]["question"])
        assert one["meta"]["languages"] == [code]
        assert one["meta"]["answers"] == [reply(one)] == [one["meta"]["answer"]]
        assert code != "en" or reply(one) in source


def test_sizes_are_two_sentences_or_more_and_mixed_has_both():
    lengths = {
        size: [len(sources(one)[0]) for one in made("reading", topics=40, size=size)] for size in ("short", "long")
    }
    assert max(lengths["short"]) < min(lengths["long"])
    assert {one["meta"]["size"] for one in made("reading", topics=40)} == {"short", "long"}


@pytest.mark.parametrize(("code", "least", "most"), [("fr", 54, 138), ("tr", 54, 138), ("zh", 126, 214)])
def test_a_long_source_is_as_long_as_is_said(code, least, most):
    said = "54 to 138 words, of Chinese 126 to 214 characters"
    for file in (Path(corpus.__file__).with_name("README.md"), Path(settings.__file__)):
        assert said in " ".join(file.read_text(encoding="utf-8").split())
    told = [
        sources(one)[0]
        for split, topics in (("train", 652), (DEV, 126))
        for one in made("reading", language=code, topics=topics, size="long", split=split)
    ]
    lengths = [len(one) if code == "zh" else len(one.split()) for one in told]
    assert least <= min(lengths)
    assert max(lengths) <= most
    assert code != "tr" or min(lengths) == least


def test_twins_differ_in_the_answer_of_one_source_and_in_the_reply(pairs):
    twins = defaultdict(dict)
    for one in pairs:
        if one["meta"]["case"] == "twins":
            twins[one["meta"]["topic"]][one["meta"]["name"]] = one
    assert len(twins) > 200
    for pair in twins.values():
        conflict, control = pair["conflict"], pair["control"]
        assert conflict["meta"]["conflict"]
        assert not control["meta"]["conflict"]
        differing = [
            index
            for index, texts in enumerate(zip(parts(conflict), parts(control), strict=True))
            if len(set(texts)) > 1
        ]
        (place,) = differing
        assert place % 2 == 1
        assert {key for key in control["meta"] if conflict["meta"][key] != control["meta"][key]} <= {
            *("name", "answers", "answer", "conflict"),
        }
        if conflict["meta"]["languages"][place // 2] == "en":
            before, after = (one["meta"]["answers"][place // 2] for one in (control, conflict))
            # A value may also be part of the other one that the source names.
            around = parts(control)[place].split(before)
            changed = [before.join(around[:cut]) + after + before.join(around[cut:]) for cut in range(1, len(around))]
            assert parts(conflict)[place] in changed


def test_nothing_but_the_answers_goes_with_a_conflict(pairs):
    twins = [one for one in pairs if one["meta"]["case"] == "twins"]
    for about in (
        lambda one: tuple(one["meta"]["languages"]),
        lambda one: one["meta"]["prompt"],
        lambda one: one["meta"]["event"],
    ):
        told = Counter((about(one), one["meta"]["conflict"]) for one in twins)
        assert all(told[key, True] == told[key, False] for key, _ in told)
    first = Counter(one["meta"]["languages"][0] == "en" for one in pairs if len(set(one["meta"]["languages"])) == 2)
    assert 0.4 < first[True] / first.total() < 0.6


def test_replies_name_the_sources_that_say_so(pairs):
    for one in pairs:
        answers = [answer for answer in one["meta"]["answers"] if answer is not None]
        assert all(answer in reply(one) for answer in answers), one["id"]
        assert one["meta"]["conflict"] == (len(set(answers)) == 2)
        if one["meta"]["prompt"] != "explicit":
            numbered = [str(number) for number, _ in enumerate(one["meta"]["answers"], 1)]
            said = reply(one)
            for answer in sorted(answers, key=len, reverse=True):
                said = said.replace(answer, "")
            assert [sign for sign in said if sign.isdigit()] == numbered
    assert {len(one["meta"]["answers"]) for one in pairs} == {2, 3}
    cases = Counter(one["meta"]["case"] for one in pairs)
    assert cases["twins"] > cases["one-answers"] > cases["none-answers"] > 0


def test_the_judge_and_the_guard_find_a_conflict_in_the_replies_that_report_one_and_in_no_other(pairs):
    judge, guard = RuleJudge(), English()
    said = {(one["meta"]["prompt"], one["meta"]["kind"], phrased(one)): one for one in pairs}
    assert len({key[2] for key in said}) >= 6 * PHRASINGS - 4
    for one in said.values():
        explicit = one["meta"]["prompt"] == "explicit"
        asked = parts(one)[-1] if explicit else one["meta"]["question"]
        assert judge.judge(Exchange(asked, reply(one))).mentions_conflict == one["meta"]["conflict"], reply(one)
        assert explicit or guard.reports_conflict(reply(one)) == one["meta"]["conflict"], reply(one)
        assert not explicit or reply(one).startswith("No" if one["meta"]["conflict"] else "Yes")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("reading", {"language": "es"}),
        ("cross", {"languages": [["en", "tr"]]}),
        ("scene-reading", {"modality": "text"}),
    ],
)
def test_one_answer_is_replied_by_its_value_or_by_what_each_source_says(name, options):
    plain = made(name, topics=40, **options)
    assert plain == made(name, topics=40, reply="value", **options)
    told = made(name, topics=40, reply="sources", **options)
    for value, one in zip(plain, told, strict=True):
        assert (parts(one), one["meta"], one["id"]) == (parts(value), value["meta"], value["id"])
        assert reply(value) == one["meta"]["answer"]
        answers = one["meta"]["answers"]
        said = [f"Source {i}: {'not stated' if answer is None else answer}." for i, answer in enumerate(answers, 1)]
        assert reply(one) == " ".join(said)
        assert claims(reply(one)) == [f"{reply(value)}."]
        assert claims(reply(value)) == [reply(value)]
        assert not RuleJudge().judge(Exchange(one["meta"]["question"], reply(one))).mentions_conflict
        assert not English().reports_conflict(reply(one))
    assert {len(one["meta"]["answers"]) for one in told} == {2 if name == "cross" else 1}


def test_what_sources_answer_is_found_again_in_every_phrasing(pairs):
    told = [one for one in pairs if one["meta"]["prompt"] != "explicit"]
    for one in told:
        answers = [answer for answer in one["meta"]["answers"] if answer is not None]
        assert [claim.removesuffix(".") for claim in claims(reply(one))] == answers, reply(one)
    for begins in ("Source 1: ", "Source 1 says ", "According to source 1: ", "Source 1 does not say."):
        assert any(reply(one).startswith(begins) for one in told)
    # As a model may say it, who stops earlier or goes on.
    assert claims("Source 1: 670 meters") == ["670 meters"]
    assert claims("Source 1:green. Source 2: red, I think.") == ["green.", "red, I think."]
    assert claims("Source 1: green. Source 2: red. The sources disagree") == ["green.", "red."]
    assert claims("It is green. Source 1: green.") == ["It is green. Source 1: green."]
    assert claims("") == [""]
    assert claims("Source 1: 8:15, so no. Source 2: 9:40, so yes. The sources disagree.") == ["no.", "yes."]
    assert claims("8:15, so no") == ["no"]
    assert claims("It was late, so nobody came.") == ["It was late, so nobody came."]


def test_across_languages_one_source_is_answered_in_the_words_for_two():
    """Or arms forget how to report a conflict, whatever they mix."""
    wanted = Experiment.read(shipped(Path("crosslingual")))
    for part in (wanted.stage, wanted.training):
        for source in part["data"]["sources"]:
            items = made(source["generator"], **source["options"], topics=12)
            said = [reply(one) for one in items if one["meta"]["prompt"] != "explicit"]
            assert said
            assert all(text.startswith("Source 1: ") for text in said), source["name"]


def phrased(item):
    """The reply without what the sources answer."""
    said = reply(item)
    for answer in sorted({answer for answer in item["meta"]["answers"] if answer}, key=len, reverse=True):
        said = said.replace(answer, "…")
    return said


def test_one_phrasing_is_used_where_one_is_asked_for():
    items = made("pairs", topics=60, phrasings=1, prompts={"standard": 1}, third=0, size="short")
    assert {phrased(one) for one in items} == {
        "Source 1: …. Source 2: …. The sources disagree.",
        "Source 1: …. Source 2: …. The sources agree.",
        "Source 1: …. Source 2: not stated.",
        "Source 1: not stated. Source 2: ….",
        "Source 1: not stated. Source 2: not stated.",
    }


def test_whether_a_value_is_the_one_is_answered_yes_or_no_by_every_source_that_tells_it():
    options = {"languages": [["en", "en"]], "topics": 200, "size": "short", "third": 0.1, "phrasings": PHRASINGS}
    plain, polar = made("pairs", **options), made("pairs", polar=1, **options)
    assert len(plain) == len(polar)
    judge, kept, said = RuleJudge(), 0, Counter()
    for own, one in zip(plain, polar, strict=True):
        assert one["id"] == f"{own['id']}/polar"
        assert sources(one) == sources(own)
        question, values, answers = one["meta"]["question"], own["meta"]["answers"], one["meta"]["answers"]
        assert question != own["meta"]["question"]
        held = [value and ("yes" if f" {value}" in question else "no") for value in values]
        kept += held == answers  # a value may be part of the one that is asked for
        assert one["meta"]["conflict"] == (len({answer for answer in answers if answer}) > 1)
        if one["meta"]["case"] == "twins":
            assert one["meta"]["conflict"] == own["meta"]["conflict"]
        told = [f"{value}, so {answer}" for value, answer in zip(values, answers, strict=True) if answer]
        assert all(each in reply(one) for each in told)
        if one["meta"]["prompt"] != "explicit":
            assert judge.judge(Exchange(question, reply(one))).mentions_conflict is one["meta"]["conflict"]
            assert English().reports_conflict(reply(one)) == one["meta"]["conflict"]
            assert [claim.removesuffix(".") for claim in claims(reply(one))] == [one for one in answers if one]
        said.update((one["meta"]["case"], answer) for answer in answers if answer)
    assert kept > 0.97 * len(polar)
    for case in ("twins", "consistent", "one-answers"):
        assert 0.2 < said[case, "yes"] / (said[case, "yes"] + said[case, "no"]) < 0.6, case


@pytest.mark.parametrize("form", ["value", "sources"])
def test_one_source_is_asked_for_yes_or_no_too(form):
    plain, polar = (made("reading", topics=60, size="short", reply=form, polar=share) for share in (0, 1))
    for own, one in zip(plain, polar, strict=True):
        assert one["id"] == f"{own['id']}/polar"
        (answer,) = one["meta"]["answers"]
        assert reply(one).removesuffix(".") == f"{reply(own).removesuffix('.')}, so {answer}"
        assert claims(reply(one)) == [answer if form == "value" else f"{answer}."]
    answers = Counter(one["meta"]["answer"] for one in polar)
    assert 0.2 < answers["yes"] / answers.total() < 0.5
    assert answers.keys() == {"yes", "no"}


def test_a_share_of_events_is_asked_for_yes_or_no_and_the_others_are_as_they_were():
    plain = {one["id"]: one for one in made("pairs", topics=120, size="short")}
    some = made("pairs", topics=120, size="short", polar=0.3)
    asked = [one for one in some if one["id"].endswith("/polar")]
    assert 0.2 < len(asked) / len(some) < 0.4
    assert [one for one in some if one not in asked] == [
        one for one in plain.values() if f"{one['id']}/polar" not in {other["id"] for other in asked}
    ]


def test_a_value_that_sources_tell_of_something_else_is_answered_no():
    options = {"topics": 150, "size": "short", "languages": [["en", "en"]]}
    items = made("pairs", polar=1, kinds={"consistent": 1}, prompts={"standard": 1}, third=0, **options)
    drawn, teller = told.topics(settings.PairsOptions(**options)), Teller(SPLITS[TRAIN])
    elsewhere = [
        one
        for topic, one in zip(drawn, items, strict=True)
        if (beside := teller.english(topic, topic.asides[0])) in one["meta"]["question"]
        and any(beside in source for source in sources(one))
        and not any(teller.english(topic, answer) == beside for answer in topic.answers)
    ]
    assert len(elsewhere) > 30
    assert all(one["meta"]["answers"] == ["no", "no"] for one in elsewhere)


def test_only_the_kinds_and_prompts_that_are_asked_for_are_made():
    items = made("pairs", topics=40, kinds={"consistent": 1}, prompts={"explicit": 1}, size="short")
    assert len(items) == 40
    assert {(one["meta"]["case"], one["meta"]["prompt"], one["meta"]["conflict"]) for one in items} == {
        ("consistent", "explicit", False)
    }


def test_sources_of_a_cross_item_are_about_different_things_in_different_languages():
    items = made("cross", languages=[["en", "tr"], ["zh", "en"]], topics=120, size="short")
    for one in items:
        first, second = one["meta"]["answers"]
        assert (first is None) is not (second is None)
        assert reply(one) == (first or second) == one["meta"]["answer"]
        assert one["meta"]["other_event"] != one["meta"]["event"]
        assert one["meta"]["prompt"] == "standard"
    orders = Counter(tuple(one["meta"]["languages"]) for one in items)
    assert set(orders) == {("en", "tr"), ("tr", "en"), ("zh", "en"), ("en", "zh")}
    assert min(orders.values()) > 15


def test_what_is_told_from_elsewhere_is_about_a_place_and_a_value_that_the_topic_does_not_have():
    corpus = SPLITS[TRAIN]
    for topic in topics(corpus, len(corpus.events)):
        beside = Teller(corpus).elsewhere(topic)
        assert beside.event is topic.event
        assert beside.place not in {topic.place, topic.near, topic.far, *topic.answers, *topic.asides}
        assert beside.answers[0] != topic.answers[0]


def test_neighbours_are_of_different_events_also_across_rounds():
    events = [one["meta"]["event"] for one in made("reading", topics=300, split=DEV, size="short")]
    assert all(one != other for one, other in pairwise(events))


def test_dev_items_tell_of_no_name_and_no_event_that_train_items_tell_of():
    told = {split: made("pairs", topics=60, split=split, size="short") for split in SPLITS}
    train = SPLITS[TRAIN].english
    for one in told[DEV]:
        assert one["meta"]["event"] not in SPLITS[TRAIN].events
        assert not any(name in " ".join(parts(one)) for name in (*train.places, *train.persons))


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("reading", {"lang": "es"}, "no option lang; known: topics, seed, size, split, reply, polar, language"),
        ("reading", {"language": "ru"}, "language: Input should be 'en', 'zh'"),
        ("reading", {"reply": "both"}, "reply: Input should be 'value' or 'sources'"),
        ("pairs", {"reply": "sources"}, "no option reply"),
        ("pairs", {"polar": 1.5}, "polar: Input should be less than or equal to 1"),
        ("reading", {"topics": 0}, "topics: Input should be greater than or equal to 1"),
        ("cross", {"languages": []}, "languages: List should have at least 1 item"),
        ("pairs", {"kinds": {"twins": 0}}, "all weights are 0"),
        ("pairs", {"kinds": {"tripels": 1}}, "kinds.tripels"),
        ("pairs", {"kinds": {"twins": float("inf")}}, "kinds.twins: Input should be a finite number"),
        ("pairs", {"prompts": {"explicit": 1}}, "does not ask of one-answers, none-answers"),
    ],
)
def test_options_that_cannot_be_fulfilled_are_refused_when_the_generator_is_called(name, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        GENERATORS[name](options)
