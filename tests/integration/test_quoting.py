"""Each disagreeing span is quoted with the sentence its own answer rests on, and finding it changes no decision."""

import math
from dataclasses import replace
from itertools import combinations

import pytest
import torch

from tests.integration.eager import Eager
from xmguard import quoting
from xmguard.backends.prompting import PromptEncoder
from xmguard.backends.transformers.loader import load
from xmguard.backends.transformers.session import TransformersSession
from xmguard.bias import REMOVE, AttentionBias
from xmguard.context import Context, ContextSpan, SpanMap, SpanTokens
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.errors import Cancelled, DeadlineExceeded
from xmguard.evidence import Estimate, PairEstimate
from xmguard.guard import Guard
from xmguard.request import AnswerRequest, Decoding, OnError, Prompt
from xmguard.response import ConflictVerdict, Decision, Quote
from xmguard.span import Span

FIRST = ["The door is heavy. ", "It was painted red 🚪 in May. ", "Nobody  minds."]
SECOND = ["Kapı   ağır. ", "Mavi. "]
REQUEST = AnswerRequest(
    spans=(
        Span(text="".join(FIRST), language="en"),
        Span(text=" ".join(SECOND), language="tr", source="tr news"),
        Span(text="It is green.", language="en"),
    ),
    question="Which colour?",
    decoding=Decoding(max_tokens=4),
    on_error=OnError.OPEN,
)


class Scripted:
    """An estimator that finds every pair to disagree, the first pair most."""

    name = "provisional"
    features = ()
    summary = "scripted"

    def __init__(self, probability=0.9):
        self.probability = probability
        self.evidence = None

    def estimate(self, evidence):
        self.evidence = evidence
        ids = [span.span_id for span in evidence.spans]
        pairs = enumerate(combinations(ids, 2))
        return Estimate(tuple(PairEstimate(a, b, self.probability - 0.001 * number) for number, (a, b) in pairs))


@pytest.fixture
def guard(tiny_backend, registry):
    guard = Guard(tiny_backend, registry, model="tiny")
    guard._judge._estimator = Scripted()
    return guard


@pytest.fixture
def removals(monkeypatch):
    """Branch name to its tokens and their log-probabilities, of what is scored in search of a quote."""
    seen = {}
    score = TransformersSession.score

    def watched(self, pairs):
        scores = score(self, pairs)
        seen.update(
            {
                branch.name: (branch, answer, own)
                for (branch, answer), own in zip(pairs, scores, strict=True)
                if " without " in branch.name
            }
        )
        return scores

    monkeypatch.setattr(TransformersSession, "score", watched)
    return seen


def quotes(verdict):
    found = {}
    for pair in verdict.disagreements:
        for span, quote in ((pair.span_a, pair.evidence_a), (pair.span_b, pair.evidence_b)):
            assert found.setdefault(span, quote) == quote
    return found


def assert_brute_force(backend, eager, request, sentences, removals, verdict):
    """Every removal equals one pass of the reference under a mask, and the quote is the one that costs most.

    `sentences` are the pieces of each span, in tokens: the reference is told nothing by the encoder.
    """
    context = Context(tuple(ContextSpan(span, "text", span.language) for span in request.spans), request.question)
    prompt = backend.encode(context, Prompt.STANDARD)
    told = quotes(verdict)
    for index, lengths in enumerate(sentences):
        span = prompt.span_map.spans[index]
        assert sum(lengths) == len(span)
        if len(lengths) == 1:
            continue
        losses = []
        for number in range(len(lengths)):
            _, answer, scores = removals[f"{index} without {number}"]
            start = span.start + sum(lengths[:number])
            gone = [(start, start + lengths[number])]
            gone += [(other.start, other.stop) for other in prompt.span_map if other is not span]
            ranges = [SpanTokens(str(at), *tokens) for at, tokens in enumerate(sorted(gone))]
            mask = SpanMap(tuple(ranges), prompt.span_map.context_tokens)
            ids = [*prompt.context_ids, *prompt.alone_tail]
            bias = AttentionBias(dict.fromkeys(mask.ids, REMOVE))
            logits = eager.run([*ids, *answer], mask, bias, len(ids), measure=False).logits[len(ids) - 1 : -1]
            want = torch.log_softmax(logits.double(), -1)[range(len(answer)), answer]
            assert math.fsum(scores) == pytest.approx(float(want.sum()), abs=1e-3)
            losses.append(-float(want.sum()))
        heaviest = losses.index(max(losses))
        assert told[f"s{index + 1}"].text in sentence_text(backend, prompt, span, lengths, heaviest)
        assert len(set(losses)) == len(losses)


def sentence_text(backend, prompt, span, lengths, number):
    start = span.start + sum(lengths[:number])
    return backend.text(prompt.context_ids[start : start + lengths[number]])


def test_removing_a_sentence_equals_the_reference_without_it(guard, tiny_folder, removals):
    verdict = guard.check(REQUEST).verdict
    # The tiny tokenizer's tokens are bytes, so a sentence's tokens can be counted without it.
    lengths = [
        [len(piece.encode()) for piece in pieces] for pieces in (FIRST, ["Kapı   ağır.  ", "Mavi. "], ["x" * 12])
    ]
    assert sorted(removals) == ["0 without 0", "0 without 1", "0 without 2", "1 without 0", "1 without 1"]
    assert_brute_force(guard.backend, Eager(tiny_folder), REQUEST, lengths, removals, verdict)


def test_quotes_are_sentences_with_their_place_in_the_text(guard):
    for span_id, quote in quotes(guard.check(REQUEST).verdict).items():
        text = REQUEST.spans[int(span_id[1]) - 1].text
        assert text[quote.start : quote.end] == quote.text
        assert quote.text in ([piece.strip() for piece in (*FIRST, *SECOND)] + ["It is green."])


def test_the_reason_names_what_each_is_called_and_where_to_look(guard):
    verdict = guard.check(REQUEST).verdict
    told = quotes(verdict)
    assert " but s2 (tr news) says " in verdict.reason
    places = [f"{told[span].start}-{told[span].end} of {span}" for span in ("s1", "s2")]
    assert verdict.reason.endswith(f"; see characters {' and '.join(places)}.")
    assert "\n" not in verdict.reason


def test_only_a_conflict_is_quoted_and_what_it_costs_is_counted(guard, removals):
    guard._judge._estimator = Scripted(probability=0.1)
    plain = guard.check(REQUEST)
    assert not removals
    guard._judge._estimator = Scripted()
    quoted = guard.check(REQUEST)
    run = sum(len(branch.tail) + len(answer) - 1 for branch, answer, _ in removals.values())
    assert quoted.usage.evidence_tokens - plain.usage.evidence_tokens == run > 0
    context = quoted.usage.prompt_tokens - len(
        guard.backend.encode(Context((), "Which colour?"), Prompt.STANDARD).joint_tail
    )
    assert quoted.usage.cached_tokens - plain.usage.cached_tokens == len(removals) * context
    assert quoted.verdict.probability == guard._judge._estimator.probability


def test_a_span_of_one_sentence_is_quoted_without_a_run(guard, removals):
    spans = (Span(text="  The door is red.\n", language="en"), Span(text="门是蓝色的。", language="zh"))
    verdict = guard.check(replace(REQUEST, spans=spans)).verdict
    assert not removals
    assert quotes(verdict) == {"s1": Quote("The door is red.", 2, 18), "s2": Quote("门是蓝色的。", 0, 6)}


def test_a_stream_says_the_quotes_with_the_verdict(guard):
    events = list(guard.stream(REQUEST))
    verdict = next(event for event in events if isinstance(event, ConflictVerdict))
    assert all(quotes(verdict).values())
    assert events[-1].response.verdict.disagreements == verdict.disagreements
    assert events[-1].response.usage.evidence_tokens > 0


def test_ids_of_a_callers_choice_do_not_get_in_the_way(guard, removals):
    context = Context((ContextSpan(Span("s1", "x"), "text", "en"),), "Which colour?")
    (first,) = guard.backend.encode(context, Prompt.STANDARD).span_map
    guard.check(REQUEST)
    plain = {name: scores for name, (_, _, scores) in removals.items()}
    ids = ("1", "alone:x", f"0:{first.start}")  # the last one as a piece of the first span might be named
    spans = tuple(replace(span, id=span_id) for span, span_id in zip(REQUEST.spans, ids, strict=True))
    assert quotes(guard.check(replace(REQUEST, spans=spans)).verdict).keys() == set(ids)
    assert {name: scores for name, (_, _, scores) in removals.items()} == plain


# -- what is not quoted ------------------------------------------------------------------------------------------------


def test_quoting_that_breaks_leaves_the_decision_and_says_so(guard, monkeypatch, caplog):
    monkeypatch.setattr(TransformersSession, "recut", lambda self, span_map: 1 / 0)
    response = guard.check(REQUEST)
    assert response.verdict.decision is Decision.CONFLICT
    assert response.verdict.reason.endswith("threshold 0.50); 2 more pairs disagree.")
    assert not any(quotes(response.verdict).values())
    assert [warning for warning in response.warnings if warning.startswith("verdict.disagreements: quoting failed")]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("error", [Cancelled, DeadlineExceeded])
def test_a_request_that_ends_while_it_is_quoted_ends(guard, monkeypatch, error):
    stop = Stop()
    recut = TransformersSession.recut

    def late(self, span_map):
        if error is Cancelled:
            stop.cancel()
        else:
            stop._deadline = 0.0
        return recut(self, span_map)

    monkeypatch.setattr(TransformersSession, "recut", late)
    with pytest.raises(error):
        guard.check(REQUEST, stop=stop)


def test_so_many_spans_are_quoted_and_the_others_named(guard, monkeypatch):
    monkeypatch.setattr(quoting, "MAX_SPANS", 2)
    response = guard.check(REQUEST)
    assert [bool(quote) for quote in quotes(response.verdict).values()] == [True, True, False]
    assert "verdict.disagreements: no quote from s3: at most 2 spans are quoted" in response.warnings


def test_an_answer_that_rests_on_no_one_sentence_has_no_quote(guard, monkeypatch):
    monkeypatch.setattr(quoting, "MIN_DROP", 1000.0)
    response = guard.check(REQUEST)
    told = quotes(response.verdict)
    assert [span for span, quote in told.items() if quote] == ["s3"]
    assert "verdict.disagreements: no quote from s1 and s2: its answer needs no one sentence" in response.warnings
    assert "see characters" not in response.verdict.reason


def test_a_span_whose_tokens_are_not_its_text_has_no_quote(guard, monkeypatch):
    encode = PromptEncoder.encode
    monkeypatch.setattr(
        PromptEncoder, "encode", lambda self, *args: replace(encode(self, *args), characters=((None,) * 60, (), ()))
    )
    response = guard.check(REQUEST)
    assert not any(quotes(response.verdict).values())
    assert any("no quote from s1, s2 and s3: the encoder" in warning for warning in response.warnings)


# -- a session cut again -----------------------------------------------------------------------------------------------


def test_a_session_cut_again_reads_as_one_that_was_cut_so_from_the_start(tiny_backend):
    spans = (
        ContextSpan(Span("a", "The sign says OPEN."), "text", "en"),
        ContextSpan(Span("b", "Closed."), "text", "en"),
    )
    prompt = tiny_backend.encode(Context(spans, "What?"), Prompt.STANDARD)
    first, second = prompt.span_map
    finer = SpanMap(
        (SpanTokens("x", first.start, first.start + 5), SpanTokens("y", first.start + 5, first.stop), second),
        prompt.span_map.context_tokens,
    )
    branch = Branch("joint", prompt.joint_tail, AttentionBias({"x": REMOVE, "b": 1.0}), measured=True)
    parent = tiny_backend.open(prompt, Stop())
    again, fresh = parent.recut(finer), tiny_backend.open(replace(prompt, span_map=finer), Stop())
    parent.close()
    assert again.measure(branch) == fresh.measure(branch)
    assert again.score([(branch, (5, 6, 7))]) == fresh.score([(branch, (5, 6, 7))])
    assert (again.usage().context_tokens, fresh.usage().context_tokens) == (0, len(prompt.context_ids))


def test_a_session_is_cut_by_maps_of_its_own_context_only(tiny_backend):
    prompt = tiny_backend.encode(Context((ContextSpan(Span("a", "x"), "text", "en"),), "What?"), Prompt.STANDARD)
    with pytest.raises(ValueError, match="a map of 3 tokens is not of this context"):
        tiny_backend.open(prompt, Stop()).recut(SpanMap((), 3))


# -- the embedded model ------------------------------------------------------------------------------------------------

LEAFLET = [
    "Passengers should be at pier two early.",
    " The ferry to Ransey leaves at 8:15.",
    " Tickets are sold on board.",
]
NOTICE = [
    "The harbour was renovated last year.",
    " A notice says that the ferry to Ransey leaves at 9:40 this summer.",
    " Dogs are welcome.",
]
FERRY = "What time does the ferry to Ransey leave?"


def asking(*texts):
    return AnswerRequest(spans=tuple(Span(text=text, language="en") for text in texts), question=FERRY)


@pytest.fixture(scope="module")
def embedded(smollm2_folder, registry):
    return Guard(load(smollm2_folder, registry=registry), registry, model="smollm2")


@pytest.mark.model
def test_the_sentence_that_holds_the_answer_is_quoted(embedded, smollm2_folder, removals):
    request = asking("".join(LEAFLET), "".join(NOTICE))
    response = embedded.check(request)
    assert response.verdict.decision is Decision.CONFLICT
    (pair,) = response.verdict.disagreements
    assert pair.evidence_a == Quote("The ferry to Ransey leaves at 8:15.", 40, 75)
    assert pair.evidence_b == Quote("A notice says that the ferry to Ransey leaves at 9:40 this summer.", 37, 103)
    assert response.verdict.reason.endswith("; see characters 40-75 of s1 and 37-103 of s2.")
    tokenizer = embedded.backend.loaded.tokenizer
    lengths = [[len(tokenizer(piece)["input_ids"]) for piece in pieces] for pieces in (LEAFLET, NOTICE)]
    assert_brute_force(embedded.backend, Eager(smollm2_folder), request, lengths, removals, response.verdict)


@pytest.mark.model
def test_a_text_of_one_sentence_is_its_quote(embedded):
    verdict = embedded.check(asking("".join(LEAFLET), "The ferry to Ransey leaves at 9:40.")).verdict
    assert quotes(verdict) == {
        "s1": Quote("The ferry to Ransey leaves at 8:15.", 40, 75),
        "s2": Quote("The ferry to Ransey leaves at 9:40.", 0, 35),
    }


@pytest.mark.model
def test_a_span_that_disagrees_with_two_has_one_quote(embedded):
    third = "It is a small island. Its ferry, the ferry to Ransey, leaves at 9:40. It carries cars."
    verdict = embedded.check(asking("".join(LEAFLET), "".join(NOTICE), third)).verdict
    assert sorted((pair.span_a, pair.span_b) for pair in verdict.disagreements) == [("s1", "s2"), ("s1", "s3")]
    assert {span: quote.text for span, quote in quotes(verdict).items()} == {
        "s1": LEAFLET[1].strip(),
        "s2": NOTICE[1].strip(),
        "s3": "Its ferry, the ferry to Ransey, leaves at 9:40.",
    }


@pytest.mark.model
def test_a_text_of_many_sentences_is_searched_in_passages_first(embedded, monkeypatch, removals):
    monkeypatch.setattr(quoting, "MAX_PASSAGES", 3)
    long = "".join([*LEAFLET[::2], LEAFLET[1], NOTICE[2], " It is quiet here.", " Rain is likely.", " Bring a coat."])
    (pair,) = embedded.check(asking(long, "The ferry to Ransey leaves at 9:40.")).verdict.disagreements
    assert pair.evidence_a.text == LEAFLET[1].strip()
    assert pair.evidence_a.start == long.index(LEAFLET[1]) + 1
    assert max(int(name.split()[-1]) for name in removals) == 2
