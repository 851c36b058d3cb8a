"""The training texts: complete in every language, and disjoint from what benchmarks and the verdict are measured on."""

import re
from importlib.resources import files
from itertools import combinations

import pytest

from xmguard_research.benchmarks.clqa.corpus import CLQA, Corpus
from xmguard_research.benchmarks.clqa.events import KINDS
from xmguard_research.benchmarks.clqa.languages import LANGUAGES
from xmguard_research.benchmarks.clqa.paragraphs import SIZES, paragraph
from xmguard_research.benchmarks.clqa.topics import topics
from xmguard_research.mixing.corpus import DEV, SPLITS, TRAIN, polar_questions
from xmguard_research.scenes.concepts import CITIES
from xmguard_research.scenes.concepts import NAMES as FIRST_NAMES

CORPORA = {"clqa": CLQA, **SPLITS}
SHINGLE = 5
"""Words in a row that two texts may not share; of Chinese twice as many characters."""
MEASURED = ("verdict", "benchmarks", "scenes", "judge", "probe", "facts.py")
"""Where else there are texts on which something is measured."""


def sentences(corpus, code):
    own = corpus.language(code)
    pairs = [pair for wording in own.wordings.values() for pair in (wording.answer, wording.aside)]
    return [sentence for pair in pairs + [one for ones in own.around.values() for one in ones] for sentence in pair]


def questions(corpus):
    """All that is asked, with whatever slots."""
    return [event.question for event in corpus.events.values()] + asked_of_a_value(corpus)


def asked_of_a_value(corpus):
    return list(polar_questions(corpus).values()) if corpus in SPLITS.values() else []


def shingles(text, code):
    found, size = (text, 2 * SHINGLE) if code == "zh" else (re.findall(r"\w+", text.casefold()), SHINGLE)
    return {tuple(found[start : start + size]) for start in range(len(found) - size + 1)}


def shingles_of(corpus, code):
    """Of the words between slots."""
    told = sentences(corpus, code) + (questions(corpus) if code == "en" else [])
    return set().union(*(shingles(part, code) for one in told for part in re.split(r"\{\w+\}", one)))


def names(corpus):
    """Words of all names, in both scripts."""
    both = [corpus.language(code) for code in ("en", "zh")]
    said = [name for own in both for table in (own.places, own.persons) for name in table.values()]
    return {word for name in said for word in re.split(r"[ ·]", name)}


def test_there_are_events_of_every_kind_of_value_and_many_names_in_seven_languages():
    train, dev = SPLITS[TRAIN], SPLITS[DEV]
    assert len(train.events) >= 50
    assert {event.kind for event in train.events.values()} == KINDS
    assert len(dev.events) >= 7
    for code in LANGUAGES:
        own = train.language(code)
        assert len(set(own.places.values())) >= 60
        assert len(set(own.persons.values())) >= 60
        assert len(set(own.colours.values())) == 12
        dev.language(code)


@pytest.mark.parametrize("split", SPLITS)
def test_every_event_is_told_in_every_language_without_a_gap(split):
    corpus = SPLITS[split]
    for topic in topics(corpus, len(corpus.events)):
        for code in LANGUAGES:
            for size in SIZES:
                one = paragraph(topic, corpus.language(code), topic.first, size, topic.answers[0])
                assert one.answer in one.text
                assert not set("{}") & set(one.text)
                assert "  " not in one.text
                assert one.text.endswith("。" if code == "zh" else ".")
                assert not any(unit in one.text for unit in ("length-meter", "mass-kilogram", "duration-week"))


def test_every_question_whether_a_value_is_so_is_a_sentence_of_its_own():
    asked = [question for corpus in SPLITS.values() for question in asked_of_a_value(corpus)]
    assert len(asked) == sum(len(corpus.events) for corpus in SPLITS.values())
    assert len(set(asked)) == len(asked)
    for question in asked:
        assert re.fullmatch(r"[A-Z][^?]*\?", question), question


BREAD = '[bread]\ntheme = "land"\nkind = "month"\nquestion = "When is bread dear in {place}?"\n'
EGGS = BREAD.replace("bread", "eggs")
MILK = BREAD.replace("bread", "milk")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["bread", "milk"], "eggs"),
        (["bread", "eggs"], "milk"),
        (["bread", "milk", "eggs"], "eggs"),
        (["bread", "eggs", "milk", "tea"], "tea"),
    ],
)
def test_questions_whether_a_value_is_so_are_refused_if_they_are_not_those_of_the_events(tmp_path, names, says):
    (tmp_path / "events.toml").write_text(BREAD + EGGS + MILK)
    asked = "Is it dear in {place} in {value}?"
    (tmp_path / "polar.toml").write_text("".join(f'{name} = "{asked}"\n' for name in names))
    with pytest.raises(ValueError, match=says):
        polar_questions(Corpus(tmp_path))


@pytest.mark.parametrize(
    "question",
    ["Is it dear?", "In {place}?", "In {value}?", "{place} in {value} in {value}?", "{place} in {value} of {year}?"],
)
def test_a_question_whether_a_value_is_so_is_refused_if_its_slots_are_not_a_place_and_a_value(tmp_path, question):
    (tmp_path / "events.toml").write_text(BREAD)
    (tmp_path / "polar.toml").write_text(f'bread = "{question}"\n')
    with pytest.raises(ValueError, match="question of bread"):
        polar_questions(Corpus(tmp_path))


@pytest.mark.parametrize(("one", "other"), list(combinations(CORPORA, 2)))
def test_splits_share_no_event_name_question_or_sentence_with_each_other_or_with_clqa(one, other):
    first, second = CORPORA[one], CORPORA[other]
    assert not set(first.events) & set(second.events)
    assert not names(first) & names(second)
    assert not set(questions(first)) & set(questions(second))
    for code in LANGUAGES:
        assert not set(sentences(first, code)) & set(sentences(second, code))


@pytest.mark.parametrize(("one", "other"), list(combinations(CORPORA, 2)))
@pytest.mark.parametrize("code", LANGUAGES)
def test_no_few_words_in_a_row_are_those_of_another_split_or_of_clqa(one, other, code):
    assert not shingles_of(CORPORA[one], code) & shingles_of(CORPORA[other], code)


def test_no_few_words_in_a_row_are_in_what_else_is_measured_in_english():
    root = files("xmguard_research")
    measured = [path for name in MEASURED for path in python_files(root / name)]
    theirs = set().union(*(shingles(path.read_text(encoding="utf-8"), "en") for path in measured))
    assert ("how", "many", "rooms", "does", "the") in theirs
    for split in SPLITS.values():
        assert not shingles_of(split, "en") & theirs


def test_no_name_is_in_what_else_is_measured():
    root = files("xmguard_research")
    measured = [path for name in ("verdict", "scenes", "facts.py") for path in python_files(root / name)]
    words = set().union(*(re.findall(r"\b[A-Z]\w+", path.read_text(encoding="utf-8")) for path in measured))
    assert {"Brennick", "Harrow"} <= words
    for split in SPLITS.values():
        assert not names(split) & (words | set(FIRST_NAMES) | set(CITIES))


@pytest.mark.parametrize("split", SPLITS)
def test_no_name_is_part_of_another(split):
    own = SPLITS[split]
    for code in ("en", "zh"):
        said = [*own.language(code).places.values(), *own.language(code).persons.values()]
        assert not [(one, other) for one in said for other in said if one != other and one in other]


def python_files(root):
    if root.is_file():
        return [root]
    return [path for one in root.iterdir() for path in python_files(one) if one.is_dir() or one.name.endswith(".py")]
