"""The guard over an API of chat completions: what is checked, what is absent, and what is said of it."""

from __future__ import annotations

import io
import threading
from base64 import b64decode
from dataclasses import replace

import pytest

from tests import chat_api
from tests.chat_api import MODEL, SAID
from tests.integration.openai_engine.asking import NEW, OLD, asking, guarding
from xmguard.deadline import Stop
from xmguard.errors import InvalidRequest, ModalityNotSupported, ModelRefused, Reason
from xmguard.hookspecs import hookimpl
from xmguard.loading import load_guard
from xmguard.parts import ImagePart
from xmguard.plugins import load_plugins
from xmguard.request import Decoding, Detail, OnConflict, OnError, Prompt, Rebalance
from xmguard.response import ConflictVerdict, Decision, Delta, Done, FinishReason, Started, Status
from xmguard.span import Media, Span


def test_a_conflict_is_found_by_asking_each_span_alone_and_the_pair(api, guard):
    events = list(guard.stream(asking(OLD, NEW)))
    started, verdict, *deltas, done = events
    assert isinstance(started, Started)
    assert isinstance(verdict, ConflictVerdict)
    assert all(isinstance(delta, Delta) for delta in deltas)
    assert isinstance(done, Done)
    assert (verdict.decision, verdict.status, verdict.calibrated) == (Decision.CONFLICT, Status.OK, False)
    assert "s1 says “1912” but s2 says “1931”" in verdict.reason
    response = done.response
    assert response.answer == "".join(delta.text for delta in deltas)
    assert response.answer.startswith("The sources disagree: s1 says “1912”; s2 says “1931”.")
    assert response.raw_answer.startswith("By the first of 2 sources it is 1912")
    assert response.finish_reason is FinishReason.STOP
    alone = [message for message in api.messages if message.endswith("Short answer:")]
    assert sorted((OLD in message, NEW in message) for message in alone) == [(False, True), (True, False)]
    both = [message for message in api.messages if OLD in message and NEW in message]
    assert len(both) == 3, "the joint answer, and the pair in both orders"


def test_the_verdict_says_what_it_rests_on(guard):
    for texts in ((OLD, NEW), (OLD, "The bridge opened in 1912, in May."), (OLD, "A bridge.")):
        verdict = guard.check(asking(*texts)).verdict
        assert verdict.reason.endswith("the model's own word on each pair, as nothing could be scored.")
    assert guard.describe().calibration.startswith("not calibrated: judged by what the answers claim")


@pytest.mark.parametrize(
    ("texts", "decision"),
    [
        ((OLD, "The new bridge opened in 1912."), Decision.CONSISTENT),
        ((OLD, NEW, OLD), Decision.CONFLICT),
        ((OLD, "It is a bridge."), Decision.UNDETERMINED),
        (("It is named Alba.", "It is named Brava."), Decision.CONFLICT),
    ],
)
def test_decisions(guard, texts, decision):
    assert guard.check(asking(*texts)).verdict.decision is decision


def test_words_that_nobody_can_compare_are_undetermined_and_never_agreement(api, registry):
    api.reply = lambda message: "hm" if "Reply with one word" in message else chat_api.answer(message)
    with guarding(api, registry) as guard:
        response = guard.answer(asking("It is named Alba.", "It is named Brava."))
    assert response.verdict.decision is Decision.UNDETERMINED
    assert response.finish_reason is FinishReason.CLOSED
    assert not response.raw_answer


def test_equal_claims_that_the_model_calls_a_conflict_are_undetermined(api, registry):
    api.reply = lambda message: "Conflict." if "Reply with one word" in message else chat_api.answer(message)
    with guarding(api, registry) as guard:
        assert guard.check(asking(OLD, OLD)).verdict.decision is Decision.UNDETERMINED


def test_without_log_probabilities_the_words_alone_decide(api, registry):
    api.logprobs = False
    with guarding(api, registry) as guard:
        assert guard.check(asking("It is named Alba.", "It is named Brava.")).verdict.decision is Decision.CONFLICT
        assert not any("logprobs" in call for call in api.calls[1:]), "what is not given is not asked for again"
        evidence = guard.evidence(asking(OLD, NEW))
    assert [span.own for span in evidence.spans] == [(), ()]


def test_log_probabilities_are_those_that_the_api_tells(api, registry):
    api.pieces = lambda said: [said[start : start + 2] for start in range(0, len(said), 2)]
    with guarding(api, registry) as guard:
        first, second = guard.evidence(asking(OLD, NEW)).spans
    assert (first.answer, second.answer) == ("1912", "1931")
    assert first.own == (SAID, SAID)
    assert first.tokens == ("19", "12")
    assert (first.entropy, first.prior, first.under) == (None, (), {})


def test_contributions_are_absent_and_the_response_says_why(guard):
    response = guard.answer(asking(OLD, NEW, detail=Detail(layers=True, toward_answer=True, unbiased_answer=True)))
    for span in response.spans:
        known = {name for name, value in vars(span).items() if value not in (None, "", (), 0)}
        assert known == {"span_id", "modality", "language"}
    assert not any(vars(response.imbalance).values())
    assert not response.rebalancing.applied
    assert "nothing can be measured: an API of chat completions" in response.rebalancing.reason
    assert any("openai: no contributions, rebalancing, likelihoods, entropies" in each for each in response.warnings)
    assert any("no quotes" in each for each in response.warnings)
    assert response.unbiased_answer == response.raw_answer
    assert (response.served_by.engine, response.served_by.model_hash) == ("openai", "")


@pytest.mark.parametrize("policy", ["fixed", "target", "floor", "soften"])
def test_rebalancing_is_refused_with_the_reason(guard, policy):
    with pytest.raises(InvalidRequest) as caught:
        guard.answer(asking(OLD, NEW, rebalance=Rebalance(policy)))
    (violation,) = caught.value.violations
    assert violation.field == "rebalance.policy"
    assert "cannot be steered: an API of chat completions hands out" in violation.description
    assert 'send "none"' in violation.description
    assert guard.check(asking(OLD, NEW, rebalance=Rebalance("none"))).verdict.status is Status.OK
    assert [known.name for known in guard.describe().policies] == ["none"]


def test_what_needs_the_models_inside_is_refused(api, registry, guard, tmp_path):
    with pytest.raises(ModelRefused, match="nothing to explain it by"):
        guard.explain(asking(OLD, NEW))
    (tmp_path / "xmguard.json").write_text(
        '{"profile": {"name": "p", "rebalance": {"policy": "none", "parameters": {}}}}'
    )
    with pytest.raises(ModelRefused, match="engine openai can follow none"):
        load_guard(MODEL, engine="openai", options={"base_url": api.url}, registry=registry, profile=tmp_path)
    session = guard.backend.open(guard.prepare(asking(OLD)).prompt, Stop())
    for method, arguments in (("measure", 1), ("generated", 1), ("score", 1), ("recut", 1), ("directed", 2)):
        with pytest.raises(NotImplementedError):
            getattr(session, method)(*[None] * arguments)


def test_words_are_shown_as_they_come_and_the_verdict_before_them(api, guard):
    wait = threading.Event()
    shown = []
    api.before = lambda message, number: wait.wait(5) if "Using all" in message and number == 6 else None
    for event in guard.stream(asking(OLD, OLD)):
        shown.append(event)
        if len(shown) == 5:
            wait.set()
    assert isinstance(shown[1], ConflictVerdict)
    assert [delta.text for delta in shown[2:5]] == ["By", " the", " first"]


def test_usage_is_what_the_api_counts(api, guard):
    response = guard.answer(asking(OLD, NEW))
    joint = next(message for message in api.messages if "Using all" in message)
    others = [message for message in api.messages if message != joint]
    said = sum(len(chat_api.answer(message).split()) for message in others)
    assert response.usage.prompt_tokens == len(joint.split())
    assert response.usage.completion_tokens == len(response.raw_answer.split())
    assert response.usage.evidence_tokens == sum(len(message.split()) for message in others) + said
    assert guard.check(asking(OLD, NEW)).usage.completion_tokens == 0


def test_what_it_takes_is_within_what_was_said_it_would_cost(guard):
    ready = guard.prepare(asking(OLD, NEW))
    usage = guard.answer(ready).usage
    assert usage.prompt_tokens + usage.completion_tokens + usage.evidence_tokens <= ready.cost


def test_an_answer_alone_is_one_line_and_an_answer_that_is_cut_says_so(api, registry):
    api.reply = lambda message: f"\n{chat_api.answer(message)}\nBecause it says so."
    api.pieces = lambda said: [said]
    with guarding(api, registry) as guard:
        request = asking(OLD, NEW, detail=Detail(alone_answers=True), decoding=Decoding(max_tokens=7))
        assert [span.answer_alone for span in guard.check(request).spans] == ["1912", "1931"]
    api.reply, api.pieces = chat_api.answer, str.split
    with guarding(api, registry) as guard:
        response = guard.answer(asking(OLD, NEW, on_conflict=OnConflict.PLAIN, decoding=Decoding(max_tokens=3)))
    assert response.finish_reason is FinishReason.LENGTH
    assert response.raw_answer == "Bythefirst"


def test_an_explicit_prompt_is_asked_as_such(api, guard):
    guard.answer(asking(OLD, NEW, prompt=Prompt.EXPLICIT, on_error=OnError.OPEN))
    assert any("Would each of the sources above lead to the same answer" in message for message in api.messages)


def test_requests_that_differ_in_their_prompt_are_answered_together(api, guard):
    first, second = guard.answers([asking(OLD, NEW, prompt=prompt) for prompt in (Prompt.STANDARD, Prompt.INSTRUCTED)])
    assert first.verdict.decision is second.verdict.decision is Decision.CONFLICT
    assert len([message for message in api.messages if message.endswith("Short answer:")]) == 2
    assert first.usage.prompt_tokens > 0


def test_temperature_and_seed_are_the_joint_answers(api, guard):
    guard.answer(asking(OLD, NEW, decoding=Decoding(max_tokens=5, temperature=0.7, seed=2**64 - 1)))
    (joint,) = [call for call in api.calls if "Using all" in call["messages"][0]["content"]]
    assert (joint["temperature"], joint["seed"], joint["max_tokens"]) == (0.7, 2**63 - 1, 5)
    assert all("seed" not in call and call["temperature"] == 0 for call in api.calls if call is not joint)


def test_further_fields_go_into_every_call(api, registry):
    with guarding(api, registry, request={"reasoning_effort": "none"}) as guard:
        guard.check(asking(OLD, NEW))
    assert {call["reasoning_effort"] for call in api.calls} == {"none"}


def test_the_context_length_is_the_apis_or_the_callers(api, registry, guard):
    assert guard.describe().limits.max_prompt_tokens == chat_api.LENGTH - 1
    with guarding(api, registry, context_length=100) as short, pytest.raises(InvalidRequest) as caught:
        short.check(asking("word " * 2000))
    assert caught.value.reason is Reason.PROMPT_TOO_LONG


def test_a_context_length_that_nobody_tells_is_the_apis_to_keep(api, registry):
    api.length = None
    with guarding(api, registry) as guard:
        assert guard.describe().limits.max_prompt_tokens == 0
        long = asking(OLD, f"{NEW} {'word ' * 100_000}")
        assert guard.check(long).verdict.decision is Decision.CONFLICT


RGB = bytes(range(0, 240, 10))


class Raw:
    """Brings a modality: eight pixels as they are."""

    name = "raw"
    media_types = ("image/x-raw",)

    def parts(self, span):
        return [ImagePart(4, 2, span.span.media.data)]

    @hookimpl
    def xmguard_modalities(self):
        return [self]


def test_pictures_are_sent_to_a_model_that_reads_them_and_refused_for_another(api):
    from PIL import Image

    request = replace(asking(OLD), spans=(Span(id="p", media=Media("image/x-raw", RGB)), *asking(OLD).spans))
    pictures = load_plugins(extra={"raw": Raw()})
    with guarding(api, pictures) as blind, pytest.raises(ModalityNotSupported, match=r"spans\[0\]\.media"):
        blind.check(request)
    with guarding(api, pictures, pictures=True) as seeing:
        seeing.check(request)
    shown = [message for message in api.messages if not isinstance(message, str)]
    assert len(shown) == 1, "alone, the text is read without the picture"
    head, data = next(part for part in shown[0] if part["type"] == "image_url")["image_url"]["url"].split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(b64decode(data))) as sent:
        assert (sent.size, sent.mode, sent.tobytes()) == ((4, 2), "RGB", RGB)
