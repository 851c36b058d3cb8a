"""The offline CLQA suite: conflicts and controls differ in the answer alone, and nothing else gives them away."""

import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace

import babel
import pytest
from typer import Typer
from typer.testing import CliRunner

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.cards import card
from xmguard_research.benchmarks.clqa import (
    LANGUAGES,
    SIZES,
    corpus,
    files,
    items,
    languages,
    read,
    topics,
    values,
    variants,
    write,
)
from xmguard_research.benchmarks.clqa.__main__ import main
from xmguard_research.benchmarks.clqa.corpus import CLQA, Corpus
from xmguard_research.benchmarks.clqa.events import KINDS, toml
from xmguard_research.benchmarks.clqa.files import line
from xmguard_research.benchmarks.clqa.items import parse_variant
from xmguard_research.benchmarks.clqa.paragraphs import paragraph, words
from xmguard_research.benchmarks.clqa.values import domain, written
from xmguard_research.benchmarks.lines import digest

ROUND = 168
"""Topics after which every event has had every turn of what alternates over eight of them."""


@pytest.fixture(scope="module")
def suite():
    return tuple(items(sizes=SIZES))


@pytest.fixture(scope="module")
def paragraphs(suite):
    """Every different paragraph of the suite, with its item."""
    return {one: item for item in suite for one in item.paragraphs}


def test_the_suite_is_the_one_of_its_card(suite):
    published = card("xmguard_research.benchmarks.clqa")
    assert babel.__version__ == published.made_with["babel"], "another release of the CLDR may write values differently"
    assert len(suite) == published.items
    assert digest(map(line, suite)) == published.sha256, (
        "if the data are meant to change, give card.json a new version and digest"
    )


def test_there_are_twenty_events_of_every_kind_of_value_in_seven_languages():
    assert len(CLQA.events) >= 20
    assert {event.kind for event in CLQA.events.values()} == KINDS
    assert set(LANGUAGES) == {"en", "zh", "tr", "is", "es", "fr", "de"}


def test_a_seed_gives_the_same_items_again_and_another_gives_others():
    def made(seed, count=21):
        paragraph.cache_clear()
        return list(items(count, seed=seed, chosen=[("en", "tr")]))

    assert made(1) == made(1)
    assert made(1, count=42)[: len(made(1))] == made(1)
    assert {one.question for one in made(1)} != {one.question for one in made(2)}


def test_spans_hold_the_answer_as_its_language_writes_it(paragraphs):
    for one, item in paragraphs.items():
        assert one.answer == written(item.kind, one.value, CLQA.language(one.language))
        assert one.value in domain(CLQA, CLQA.events[item.event], one.value.split()[0]), item.id


def test_a_conflict_differs_from_its_control_in_the_answer_of_one_paragraph(suite):
    pairs = defaultdict(dict)
    for item in suite:
        pairs[item.topic, item.size, item.variant, item.swapped][item.conflict] = item
    for pair in pairs.values():
        conflict, control = pair[True], pair[False]
        place = conflict.change.paragraph
        assert conflict.question == control.question
        assert conflict.paragraphs[1 - place] == control.paragraphs[1 - place]
        changed, twin = conflict.paragraphs[place], control.paragraphs[place]
        assert changed.text[: changed.start] == twin.text[: twin.start]
        assert changed.text[changed.end :] == twin.text[twin.end :]
        assert (twin.value, changed.value) == (conflict.change.before, conflict.change.after)
        assert conflict.answers[0] != conflict.answers[1]
        assert control.answers[0] == control.answers[1]
        assert control.change is None


def test_every_event_is_told_in_every_language_and_paraphrase_without_a_gap(paragraphs):
    told = Counter((item.event, one.language, one.paraphrase, item.size) for one, item in paragraphs.items())
    assert len(told) == len(CLQA.events) * len(LANGUAGES) * 2 * len(SIZES)
    for one in paragraphs:
        assert not set("{}") & set(one.text)
        assert "  " not in one.text
        assert one.text.endswith("。" if one.language == "zh" else ".")
        # What Babel gives for a unit that it has no name for.
        assert not any(unit in one.text for unit in ("length-meter", "mass-kilogram", "duration-week"))


def test_both_paraphrases_of_a_sentence_are_different_in_every_language():
    for code in LANGUAGES:
        own = CLQA.language(code)
        pairs = [pair for wording in own.wordings.values() for pair in (wording.answer, wording.aside)]
        pairs += [pair for around in own.around.values() for pair in around]
        assert len({sentence for pair in pairs for sentence in pair}) == 2 * len(pairs)


def test_long_paragraphs_have_a_hundred_to_two_hundred_words_and_short_ones_two_sentences(paragraphs):
    lengths = defaultdict(list)
    for one, item in paragraphs.items():
        lengths[item.size].append(one.words)
    assert min(lengths["long"]) >= 100
    assert max(lengths["long"]) <= 200
    assert max(lengths["short"]) <= 50


def test_words_of_chinese_are_counted_by_characters():
    assert words("It is -17 °C, or 12,450 people.") == 7
    assert words("木偶剧团搬到了新的一个城市，剧团很高兴。") == pytest.approx(18 / 1.7)


def test_orders_controls_and_what_is_changed_are_balanced(suite):
    per_cell = Counter((one.variant, one.size, one.swapped, one.conflict) for one in suite)
    assert len(per_cell) == len(variants()) * len(SIZES) * 4
    assert set(per_cell.values()) == {400}
    places = Counter((one.variant, one.swapped, one.change.paragraph) for one in suite if one.conflict)
    assert set(places.values()) == {400}
    first = Counter((one.variant, one.swapped, one.conflict, one.paragraphs[0].paraphrase) for one in suite)
    assert set(first.values()) == {400}
    for one in suite:
        codes = one.variant.split("-")
        assert list(one.languages) == (codes[::-1] if one.swapped else codes)
        assert {side.paraphrase for side in one.paragraphs} == {0, 1}


def test_what_alternates_does_not_go_with_the_event():
    turns = Counter(
        (one.event.name, one.first, one.changed, one.asides[0] == one.asides[1]) for one in topics.topics(CLQA, ROUND)
    )
    assert len(turns) == len(CLQA.events) * 8
    assert set(turns.values()) == {1}


def test_half_of_the_other_values_belong_to_the_place_of_the_question():
    drawn = list(topics.topics(CLQA))
    there = Counter((one.near == one.place, one.far == one.place) for one in drawn)
    assert len(there) == 4
    assert min(there.values()) > 0.2 * len(drawn)


def test_a_changed_value_is_drawn_like_the_one_it_replaces():
    drawn = [
        one.answers
        for one in topics.topics(CLQA, topics.most(CLQA))
        if one.event.kind in ("count", "percent", "length")
    ]
    assert len(drawn) == 180
    assert 0.4 < sum(float(after) > float(before) for before, after in drawn) / len(drawn) < 0.6


def test_no_question_is_asked_of_two_topics():
    assert len({one.question for one in topics.topics(CLQA, topics.most(CLQA))}) == topics.most(CLQA)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("date", "2031-03-14", ["March 14, 2031", "2031年3月14日", "14 Mart 2031", "14. mars 2031"]),
        ("month", "3", ["March", "三月", "Mart", "mars"]),
        ("weekday", "1", ["Tuesday", "星期二", "Salı", "þriðjudagur"]),
        ("time", "21:35", ["9:35\u202fPM", "21:35", "21:35", "21:35"]),
        ("percent", "25", ["25%", "25%", "%25", "25%"]),
        ("price", "EUR 12.50", ["€12.50", "€12.50", "€12,50", "12,50\xa0EUR"]),
        ("money", "USD 14300000", ["$14,300,000", "US$14,300,000", "$14.300.000", "14.300.000\xa0USD"]),
        ("length", "480", ["480 meters", "480米", "480 metre", "480 metrar"]),
        ("mass", "3.1", ["3.1 kilograms", "3.1 kg", "3,1 kilogram", "3,1 kílógramm"]),
        ("temperature", "-17", ["-17°C", "-17°C", "-17°C", "-17°C"]),
        ("count", "12450", ["12,450", "12,450", "12.450", "12.450"]),
        ("weeks", "6", ["6 weeks", "6周", "6 hafta", "6 vikur"]),
        ("colour", "grey", ["grey", "灰色", "gri", "grár"]),
        ("place", "Lostra", ["Lostra", "洛斯特拉", "Lostra", "Lostra"]),
    ],
)
def test_values_are_written_as_the_language_writes_them(kind, value, expected):
    assert [written(kind, value, CLQA.language(code)) for code in ("en", "zh", "tr", "is")] == expected


def test_a_language_is_written_alike_whatever_was_loaded_before_it():
    # After Chinese, Babel gives the stand-alone names of Chinese months to languages that are loaded later.
    code = f"""
from {corpus.__name__} import CLQA
from {values.__name__} import written
print(*(written("month", "3", CLQA.language(code)) for code in ("zh", "de")))
"""
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code], capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert done.stdout.split() == ["三月", "März"]


def test_a_written_file_is_read_back_and_its_digest_is_of_its_bytes(suite, tmp_path):
    some = suite[:104]
    path = tmp_path / "clqa.jsonl"
    assert write(some, path) == (len(some), digest(map(line, some)))
    assert tuple(read(path)) == some
    assert [one.name for one in tmp_path.iterdir()] == ["clqa.jsonl"]


def test_a_span_beside_the_answer_is_refused_with_its_line(suite, tmp_path):
    first, second = suite[1].paragraphs
    path = tmp_path / "clqa.jsonl"
    moved = files.line(suite[1]).replace(b'"start":%d' % first.start, b'"start":%d' % (first.start - 1), 1)
    path.write_bytes(files.line(suite[0]) + moved)
    with pytest.raises(InvalidRequest, match=r"clqa.jsonl:2: an answer is not where"):
        list(read(path))
    path.write_bytes(files.line(replace(suite[1], paragraphs=(first, second))).replace(b"false", b"true"))
    with pytest.raises(InvalidRequest, match=r"clqa.jsonl:1: is no item .*disagree"):
        list(read(path))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda row: row["events"]["bridge"]["answer"].__setitem__(0, "{value}."), "answer of bridge must name"),
        (lambda row: row["events"]["bridge"]["aside"].reverse(), "aside of bridge must name"),
        (lambda row: row["events"].pop("bridge"), "without wording or unknown: {'bridge'}"),
        (lambda row: row["around"]["shared"].pop(), "are not those of en.toml"),
        (lambda row: row.pop("separator"), "must have exactly"),
    ],
)
def test_a_language_with_a_gap_is_refused(monkeypatch, spoil, complaint):
    def spoilt(texts, name):
        row = toml(texts, name)
        if name == "de.toml":
            spoil(row)
        return row

    monkeypatch.setattr(languages, "toml", spoilt)
    with pytest.raises(ValueError, match=complaint):
        Corpus(CLQA.texts).language("de")


def test_what_cannot_be_made_is_refused_before_anything_is_made():
    with pytest.raises(InvalidRequest, match="1 to 630, not 631"):
        items(631)
    with pytest.raises(InvalidRequest, match="tiny is not among short, long"):
        items(1, sizes=["tiny"])
    with pytest.raises(InvalidRequest, match="two of en, zh"):
        parse_variant("en-ru")


def test_the_command_writes_what_was_asked_for(tmp_path):
    out = tmp_path / "new" / "mini.jsonl"
    app = Typer()
    app.command()(main)
    arguments = ["--out", str(out), "--topics", "3", "--seed", "7", "--size", "short", "--variant", "en-is"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    expected = list(items(3, seed=7, chosen=[("en", "is")], sizes=["short"]))
    assert list(read(out)) == expected
    assert f"12 items, SHA-256 {digest(map(line, expected))}" in done.output.replace("\n", "")
