from __future__ import annotations

from xmguard.evidence import Evidence, SpanEvidence
from xmguard.languages.english import English
from xmguard.response import AnswerGroup
from xmguard.verdict.grouping import answered, group_answers, partition, representative


def evidence(*answers: str) -> Evidence:
    return Evidence(
        "How much?",
        tuple(
            SpanEvidence(f"s{index}", "en", answer, English().normalize(answer), 0.5, (), {}, ())
            for index, answer in enumerate(answers, start=1)
        ),
    )


def test_spans_are_grouped_by_claim_in_order_with_the_shortest_answer_as_label() -> None:
    groups = group_answers(evidence("It improved by 25%.", "15 percent", " 25%\n"))
    assert groups == (AnswerGroup("25%", ("s1", "s3")), AnswerGroup("15 percent", ("s2",)))


def test_spans_without_an_answer_stand_apart_and_last() -> None:
    groups = group_answers(evidence("Not mentioned.", "25%", "The text does not say."))
    assert groups == (AnswerGroup("25%", ("s2",)), AnswerGroup("", ("s1", "s3")))


def test_no_group_holds_two_spans_that_differ() -> None:
    parts = partition(evidence("25", "25%", "25 km").spans)
    assert [[span.span_id for span in part] for part in parts] == [["s1", "s2"], ["s3"]]


def test_what_agrees_with_two_claims_does_not_join_them() -> None:
    parts = partition(evidence("25%", "25% of men", "25% of women").spans)
    assert [[span.span_id for span in part] for part in parts] == [["s1", "s2"], ["s3"]]


def test_the_shortest_answer_represents_its_group() -> None:
    assert representative(evidence("It improved by 25%.", " 25% ", "25.0").spans).span_id == "s2"


def test_unlike_texts_stay_apart() -> None:
    assert len(partition(evidence("London", "Londres", "the London").spans)) == 2


def test_answered_means_a_claim_was_made() -> None:
    assert [answered(span) for span in evidence("25%", "", "unknown").spans] == [True, False, False]


def test_nothing_groups_to_nothing() -> None:
    assert group_answers(Evidence("How much?", ())) == ()
