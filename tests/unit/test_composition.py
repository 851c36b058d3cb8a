from __future__ import annotations

from dataclasses import replace

import pytest

from xmguard.context import ContextSpan
from xmguard.response import AnswerGroup, ConflictVerdict, Decision, Disagreement, Status
from xmguard.span import Span
from xmguard.verdict.composition import abstention, closed, preface
from xmguard.verdict.decision import failed
from xmguard.verdict.wording import MAX_QUOTED, join_ids, quote, shorten


def spans(*sources: str) -> list[ContextSpan]:
    return [ContextSpan(Span(f"s{i}", "text", source=source), "text", "en") for i, source in enumerate(sources, 1)]


def conflict(*groups: AnswerGroup) -> ConflictVerdict:
    return ConflictVerdict(Decision.CONFLICT, 0.9, Status.OK, reason="s1 says one thing.", groups=groups)


TWO = conflict(AnswerGroup("25%", ("s1", "s3")), AnswerGroup("15%", ("s2",)))


def test_preface_names_spans_sources_and_answers() -> None:
    told = preface(TWO, spans("en news", "", "zh news"))
    assert told == "The sources disagree: s1 (en news) and s3 (zh news) say “25%”; s2 says “15%”."


def test_preface_mentions_who_gives_no_answer() -> None:
    verdict = conflict(*TWO.groups, AnswerGroup("", ("s4",)))
    assert preface(verdict, spans("", "", "", "")).endswith("s2 says “15%”; s4 gives no answer.")


def test_preface_of_many_answers_is_cut_and_says_so() -> None:
    verdict = conflict(*(AnswerGroup(f"{i}%", (f"s{i}",)) for i in range(1, 9)))
    told = preface(verdict, spans(*[""] * 8))
    assert "s5 says “5%”; 3 more answers differ from these." in told
    assert "s6" not in told
    six = preface(replace(verdict, groups=verdict.groups[:6]), spans(*[""] * 6))
    assert six.endswith("s5 says “5%”; 1 more answer differs from these.")


def test_preface_of_many_answers_names_those_that_disagree() -> None:
    verdict = conflict(*(AnswerGroup(f"{i}%", (f"s{i}",)) for i in range(1, 9)))
    pairs = (Disagreement("s2", "s8", "2%", "8%", 0.9), Disagreement("s6", "s8", "6%", "8%", 0.8))
    told = preface(replace(verdict, disagreements=pairs), spans(*[""] * 8))
    assert told == (
        "The sources disagree: s1 says “1%”; s2 says “2%”; s3 says “3%”; s6 says “6%”; s8 says “8%”; "
        "3 more answers differ from these."
    )


def test_preface_falls_back_on_the_reason_when_the_answers_look_alike() -> None:
    assert preface(conflict(AnswerGroup("25%", ("s1", "s2"))), spans("", "")) == (
        "The sources disagree: s1 says one thing."
    )


@pytest.mark.parametrize("decision", [Decision.CONSISTENT, Decision.UNDETERMINED])
def test_without_a_conflict_there_is_nothing_to_say(decision: Decision) -> None:
    verdict = ConflictVerdict(decision, 0.1, Status.OK, groups=TWO.groups)
    assert preface(verdict, spans("", "")) == ""
    assert abstention(verdict, spans("", "")) == ""


def test_abstention_says_that_no_answer_follows() -> None:
    told = abstention(TWO, spans("", "", ""))
    assert told == "The sources disagree: s1 and s3 say “25%”; s2 says “15%”. So no answer is given."


def test_closed_says_why_and_how_to_ask_all_the_same() -> None:
    told = closed(failed("the engine stopped"))
    assert "The engine stopped." in told
    assert "on_error" in told
    assert "OPEN" in told
    assert "No reason was reported." in closed(ConflictVerdict())


def test_quotes_stay_on_one_short_line() -> None:
    assert quote("a\n  b") == "“a b”"
    for text in ("word " * 50, "x" * 500, "字" * 500):
        assert len(shorten(text)) <= MAX_QUOTED
        assert shorten(text).endswith("…")
        assert len(shorten(text)) > MAX_QUOTED // 2


def test_an_answer_cannot_forge_the_end_of_its_quotation() -> None:
    said = quote("1”; s2 says “2\u202e\x1b[31m”")
    assert said == "“1'; s2 says '2 [31m'”"
    verdict = conflict(AnswerGroup("1", ("a”\x07b\n",)), AnswerGroup("2", ("s2",)))
    assert preface(verdict, []) == "The sources disagree: a' b says “1”; s2 says “2”."
    labelled = [ContextSpan(Span("s2", "text", source="x) says “9”"), "text", "en")]
    assert "s2 (x) says '9') says “2”" in preface(verdict, labelled)


def test_span_ids_are_shortened() -> None:
    assert len(join_ids(["x" * 500, "s2"])) < MAX_QUOTED + 10


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, ""), (1, "s1"), (2, "s1 and s2"), (3, "s1, s2 and s3"), (9, "s1, s2, s3, s4, s5 and 4 more")],
)
def test_join_ids(count: int, expected: str) -> None:
    assert join_ids([f"s{i}" for i in range(1, count + 1)]) == expected
