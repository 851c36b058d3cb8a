"""What is scored: one answer of each group under every span, the others only under that one's."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from xmguard.alone import AloneReading
from xmguard.context import Context, ContextSpan
from xmguard.contracts import Token
from xmguard.evidence import Evidence
from xmguard.languages.english import English
from xmguard.span import Span

WORDS = ["25%", "15%", "It", "is", "Unknown", "!"]


class Session:
    """Scores by the length of the reader's name and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def score(self, pairs):
        self.asked += [(branch.name, said(ids)) for branch, ids in pairs]
        return [(-float(len(branch.name)),) * len(ids) for branch, ids in pairs]


def said(ids) -> str:
    return " ".join(WORDS[index] for index in ids)


def read(
    *answers: str, asked_in: str = "en", question_language: str = "en", modalities=()
) -> tuple[Evidence, list[tuple[str, str]]]:
    ids = tuple(f"s{index}" for index in range(1, len(answers) + 1))
    kinds = modalities or ("text",) * len(ids)
    spans = tuple(ContextSpan(Span(id=name, text="text"), kind, "en") for name, kind in zip(ids, kinds, strict=True))
    context = Context(spans, "How much?", asked_in, question_language)
    prompt = SimpleNamespace(span_map=SimpleNamespace(ids=ids), alone_tail=(0,))
    reading = AloneReading(SimpleNamespace(text=said, lacks={}), context, prompt)
    for branch, answer in zip(reading.branches, answers, strict=True):
        words = [WORDS.index(word) for word in answer.split()]
        for word in words:
            assert reading.take(Token(branch.name, word, -0.5, 1.25, False, False))
        assert reading.take(Token(branch.name, 9, -0.1, 0.0, True, True))
    assert reading.finished
    session = Session()
    registry = SimpleNamespace(language=lambda tag: English(), languages=SimpleNamespace(items={asked_in: English()}))
    return reading.evidence(session, registry), session.asked


def test_one_answer_of_a_group_is_scored_everywhere_and_the_others_under_its_span() -> None:
    evidence, asked = read("It is 25%", "25%", "15%")
    assert sorted(asked) == [
        ("alone:s1", "15%"),
        ("alone:s1", "25%"),
        ("alone:s2", "15%"),
        ("alone:s2", "It is 25%"),
        ("alone:s3", "25%"),
        ("unread", "15%"),
        ("unread", "25%"),
        ("unread", "It is 25%"),
    ]
    assert [set(span.under) for span in evidence.spans] == [{"s2"}, {"s1", "s3"}, {"s1", "s2"}]


def test_an_answers_own_probabilities_are_those_it_was_decoded_with() -> None:
    evidence, _ = read("It is 25%", "15%")
    assert [span.own for span in evidence.spans] == [(-0.5,) * 3, (-0.5,)]
    assert [span.prior for span in evidence.spans] == [(-6.0,) * 3, (-6.0,)]
    assert evidence.spans[0].under == {"s2": (-8.0,) * 3}


def test_evidence_says_in_which_language_the_question_was_put() -> None:
    assert read("25%", asked_in="tr")[0].asked_in == "tr"
    assert read("25%", question_language="ru")[0].question_language == "ru"


def test_evidence_says_of_which_modality_each_span_is() -> None:
    assert [span.modality for span in read("25%", "15%", modalities=("image", "text"))[0].spans] == ["image", "text"]


def test_equal_wordings_are_scored_once_and_share_their_scores() -> None:
    evidence, asked = read(*["25%"] * 8)
    assert asked == [("unread", "25%")]
    assert all(len(span.under) == 7 and span.prior for span in evidence.spans)
    assert evidence.spans[0].under["s2"] == (-0.5,)


@pytest.mark.parametrize("spans", [8, 16])
def test_cost_grows_with_spans_times_groups(spans: int) -> None:
    answers = ["25%", "It is 25%", "is 25%", "It 25%"] * (spans // 4)
    _, asked = read(*answers)
    assert len(asked) <= 2 * spans + 4


def test_spans_without_an_answer_are_scored_unread_only_and_have_no_entropy_without_a_word() -> None:
    evidence, asked = read("Unknown", "!", "", "25%")
    assert ("unread", "Unknown") in asked
    assert [answer for name, answer in asked if name != "unread"] == ["25%"] * 3
    assert [span.entropy for span in evidence.spans] == [1.25, None, None, 1.25]
    assert evidence.spans[2].prior == ()
