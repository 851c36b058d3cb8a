"""The guard's story on a tiny real model; a scripted estimator sets the verdict where a test needs a certain one."""

import threading
import time
from dataclasses import replace

import pytest

from xmguard.alone import AloneReading
from xmguard.backends.transformers.loader import load
from xmguard.context import Context, ContextSpan
from xmguard.deadline import Stop
from xmguard.errors import Cancelled, DeadlineExceeded, InvalidRequest, ModelNotFound, Reason
from xmguard.evidence import Estimate, PairEstimate
from xmguard.guard import Guard
from xmguard.request import AnswerRequest, Decoding, Detail, OnConflict, OnError, Prompt, Rebalance, Scope
from xmguard.response import ConflictVerdict, Decision, Delta, Done, FinishReason, Started, Status
from xmguard.span import Span
from xmguard.testing import make_model

REQUEST = AnswerRequest(
    spans=(Span(text="The door is red.", language="en"), Span(text="Kapı mavi.", language="tr", source="tr news")),
    question="Which colour?",
    decoding=Decoding(max_tokens=30),
    on_error=OnError.OPEN,
)


class Scripted:
    """Stands in for an estimator: says what the test wants."""

    name = "provisional"
    summary = "scripted"
    features = ()

    def __init__(self, probability=None, undetermined="", error=None):
        self.probability, self.undetermined, self.error = probability, undetermined, error
        self.seen = []

    def estimate(self, evidence):
        self.seen.append(evidence)
        if self.error:
            raise self.error
        pairs = () if self.probability is None else (PairEstimate("s1", "s2", self.probability),)
        return Estimate(pairs, undetermined=self.undetermined)


def context_of(request):
    spans = tuple(ContextSpan(span, "text", span.language) for span in request.spans)
    return Context(spans, request.question)


@pytest.fixture
def guard(tiny_backend, registry):
    return Guard(tiny_backend, registry, model="tiny")


def scripted(guard, **script):
    guard._judge._estimator = Scripted(**script)
    return guard


def run(guard, request=REQUEST, **kwargs):
    events = list(guard.stream(request, **kwargs))
    return events, events[-1].response


def test_a_stream_is_started_verdict_deltas_done(guard):
    events, response = run(scripted(guard, probability=0.9), request_id="r1")
    assert isinstance(events[0], Started)
    assert isinstance(events[1], ConflictVerdict)
    assert all(isinstance(event, Delta) for event in events[2:-1])
    assert isinstance(events[-1], Done)
    assert "".join(event.text for event in events[2:-1]) == response.answer
    assert events[0].request_id == response.request_id == "r1"
    assert response.finish_reason is FinishReason.LENGTH
    assert response.usage.completion_tokens == 30


def test_what_is_reported_adds_up(guard):
    _, response = run(
        guard, replace(REQUEST, rebalance=Rebalance("fixed", bias={"s2": 2.0}), detail=Detail(layers=True))
    )
    for phase in ("before", "after"):
        shares = [getattr(span, f"share_{phase}") for span in response.spans]
        assert sum(shares) + getattr(response.imbalance, f"rest_share_{phase}") == pytest.approx(1.0)
    s1, s2 = response.spans
    assert s2.attention_after > s2.attention_before
    assert s1.attention_after < s1.attention_before
    assert (s1.bias, s2.bias) == (0.0, 2.0)
    assert (s1.language, s2.language) == ("en", "tr")
    assert s2.contribution_generated > 0
    heads = [head for layer in s2.layers for head in layer.heads_after]
    assert sum(heads) / len(heads) == pytest.approx(s2.contribution_after)
    assert response.rebalancing.applied
    assert response.rebalancing.scope is Scope.READERS
    assert response.usage.cached_tokens > 0
    assert response.usage.evidence_tokens > 0
    assert response.served_by.model_hash == guard.backend.model_hash


def test_the_bias_changes_the_answer_and_without_it_the_answer_is_the_plain_one(guard):
    detail = Detail(unbiased_answer=True)
    _, plain = run(guard, replace(REQUEST, detail=detail))
    _, steered = run(guard, replace(REQUEST, detail=detail, rebalance=Rebalance("fixed", bias={"s2": 4.0})))
    assert not plain.rebalancing.applied
    assert plain.spans[0].bias is None
    assert plain.unbiased_answer == plain.raw_answer == steered.unbiased_answer
    assert steered.raw_answer != steered.unbiased_answer


def test_the_verdict_does_not_depend_on_the_bias_or_the_prompt(guard):
    probabilities = {
        guard.check(replace(REQUEST, prompt=prompt, rebalance=rebalance)).verdict.probability
        for prompt in (Prompt.STANDARD, Prompt.EXPLICIT)
        for rebalance in (Rebalance(), Rebalance("fixed", {"epsilon": 3.0}))
    }
    assert len(probabilities) == 1


@pytest.mark.parametrize(
    ("script", "on_conflict", "on_error", "finish", "shown"),
    [
        ({"probability": 0.9}, OnConflict.REPORT, OnError.CLOSED, FinishReason.LENGTH, "The sources disagree: "),
        ({"probability": 0.9}, OnConflict.ABSTAIN, OnError.OPEN, FinishReason.ABSTAINED, "The sources disagree: "),
        ({"probability": 0.9}, OnConflict.PLAIN, OnError.CLOSED, FinishReason.LENGTH, ""),
        ({"undetermined": "no idea"}, OnConflict.REPORT, OnError.CLOSED, FinishReason.CLOSED, "No answer is given"),
        ({"undetermined": "no idea"}, OnConflict.REPORT, OnError.OPEN, FinishReason.LENGTH, ""),
        ({"error": KeyError("secret")}, OnConflict.REPORT, OnError.CLOSED, FinishReason.CLOSED, "No answer is given"),
        ({"error": KeyError("secret")}, OnConflict.PLAIN, OnError.OPEN, FinishReason.LENGTH, ""),
    ],
)
def test_on_conflict_and_on_error(guard, script, on_conflict, on_error, finish, shown):
    request = replace(REQUEST, on_conflict=on_conflict, on_error=on_error)
    _, response = run(scripted(guard, **script), request)
    assert response.finish_reason is finish
    withheld = finish in (FinishReason.ABSTAINED, FinishReason.CLOSED)
    assert bool(response.raw_answer) is not withheld
    if shown:
        assert response.answer.startswith(shown)
        assert response.answer.endswith(response.raw_answer)
    else:
        assert response.answer == response.raw_answer
    assert (response.spans[0].contribution_generated is None) is withheld


def test_a_check_that_breaks_is_an_error_verdict_without_its_inside(guard, caplog):
    verdict = scripted(guard, error=KeyError("secret")).check(REQUEST).verdict
    assert verdict.status is Status.ERROR
    assert verdict.decision is Decision.UNDETERMINED
    assert verdict.probability is None
    assert "secret" not in verdict.reason
    assert "secret" in caplog.text


def test_one_span_is_skipped_and_follows_on_error(guard):
    request = replace(REQUEST, spans=REQUEST.spans[:1], detail=Detail(alone_answers=True))
    _, response = run(guard, request)
    assert response.verdict.status is Status.SKIPPED
    assert response.verdict.decision is Decision.UNDETERMINED
    assert response.verdict.probability is None
    assert response.imbalance.log_ratio_before is None
    assert response.finish_reason is FinishReason.LENGTH
    assert response.spans[0].answer_alone
    _, closed = run(guard, replace(request, on_error=OnError.CLOSED))
    assert closed.finish_reason is FinishReason.CLOSED


def test_the_threshold_of_the_request_decides(guard):
    guard = scripted(guard, probability=0.6)
    assert guard.check(replace(REQUEST, conflict_threshold=0.5)).verdict.decision is Decision.CONFLICT
    assert guard.check(replace(REQUEST, conflict_threshold=0.7)).verdict.decision is Decision.UNDETERMINED


def test_the_evidence_is_what_each_span_says_alone(guard):
    estimator = Scripted(probability=0.1)
    guard._judge._estimator = estimator
    response = guard.check(replace(REQUEST, detail=Detail(alone_answers=True)))
    first, second = estimator.seen[0].spans
    assert response.spans[0].answer_alone == first.answer
    assert len(first.own) == len(first.under["s2"]) == len(first.prior) > 0
    assert first.own != first.under["s2"]
    assert set(first.under) == {"s2"}
    assert set(second.under) == {"s1"}
    assert response.spans[0].entropy_alone == pytest.approx(first.entropy)


def test_check_and_answer_agree(guard):
    _, answered = run(guard)
    checked = guard.check(REQUEST)
    assert answered.verdict.probability == pytest.approx(checked.verdict.probability, rel=1e-5)
    assert answered.verdict.decision is checked.verdict.decision
    assert answered.verdict.groups == checked.verdict.groups
    assert checked.imbalance == answered.imbalance
    assert checked.usage.completion_tokens == 0


def test_many_spans_run_in_chunks(guard):
    spans = tuple(Span(text=f"Door {number} is red.", language="en") for number in range(20))
    response = guard.check(replace(REQUEST, spans=spans))
    assert len(response.spans) == 20
    assert response.verdict.status is Status.OK


def test_a_prompt_past_the_context_says_the_length_and_the_limit(guard):
    request = replace(REQUEST, spans=(Span(text="x" * 2000, language="en"), REQUEST.spans[1]))
    with pytest.raises(InvalidRequest, match=r"takes 2\d\d\d tokens; the model's context holds 1024") as caught:
        guard.answer(request)
    assert caught.value.reason is Reason.PROMPT_TOO_LONG
    assert caught.value.violations[0].field == "spans"


def test_the_answer_ends_where_the_context_does(guard):
    spans = REQUEST.spans
    plain = guard.backend.encode(context_of(REQUEST), Prompt.STANDARD)
    filler = 1024 - len(plain.context_ids) - max(len(plain.joint_tail), len(plain.alone_tail)) - 5
    long = Span(text=(spans[0].text or "") + "x" * filler, language="en")
    response = guard.answer(replace(REQUEST, spans=(long, spans[1])))
    assert response.usage.prompt_tokens + response.usage.completion_tokens <= 1024
    assert response.finish_reason is FinishReason.LENGTH


@pytest.fixture
def ending_guard(tmp_path, registry):
    """A guard whose model ends its answers by itself."""
    backend = load(make_model(tmp_path, seed=5, end_token=True), registry=registry)
    backend.loaded.model.lm_head.weight[backend.loaded.tokenizer.eos_token_id] *= 40
    return Guard(backend, registry, model="tiny")


def test_the_end_token_ends_the_answer(ending_guard):
    response = ending_guard.answer(replace(REQUEST, decoding=Decoding(max_tokens=400)))
    assert response.finish_reason is FinishReason.STOP
    assert response.usage.completion_tokens < 400
    assert response.verdict.model_reported is not None


def test_a_language_plugin_that_breaks_on_a_finished_answer_does_not_take_it_away(ending_guard, monkeypatch):
    english = type(ending_guard.registry.language("en"))
    monkeypatch.setattr(english, "reports_conflict", lambda self, answer: 1 / 0)
    response = ending_guard.answer(replace(REQUEST, decoding=Decoding(max_tokens=400)))
    assert response.raw_answer
    assert response.verdict.model_reported is None
    assert any("model_reported" in warning for warning in response.warnings)


def test_a_cut_answer_reports_nothing_about_itself(guard):
    _, response = run(guard)
    assert response.finish_reason is FinishReason.LENGTH
    assert response.verdict.model_reported is None


def test_cancelling_stops_within_a_step(guard):
    stop = Stop()
    stream = guard.stream(replace(REQUEST, decoding=Decoding(max_tokens=900)), stop=stop)
    for event in stream:
        if isinstance(event, Delta):
            stop.cancel()
            break
    with pytest.raises(Cancelled):
        list(stream)


def test_a_deadline_stops_it(guard):
    with pytest.raises(DeadlineExceeded):
        guard.answer(replace(REQUEST, decoding=Decoding(max_tokens=900)), stop=Stop(0.2))
    assert guard.check(REQUEST).verdict.status is Status.OK


def test_an_abandoned_stream_frees_its_caches(guard, monkeypatch):
    closed = threading.Event()
    backend = guard.backend
    open_session = type(backend).open

    def watched(self, prompt, stop):
        session = open_session(self, prompt, stop)
        close = session.close
        session.close = lambda: (close(), closed.set())
        return session

    monkeypatch.setattr(type(backend), "open", watched)
    stream = guard.stream(REQUEST)
    next(stream)
    stream.close()
    assert closed.is_set()


def test_observers_are_told_what_was_done_and_how_long_each_step_took(tiny_backend, registry):
    told = []

    class Watching:
        name = "watching"
        observe = staticmethod(told.append)

    guard = scripted(Guard(tiny_backend, registry, model="tiny", observers=[Watching()]), probability=0.9)
    steered = replace(REQUEST, rebalance=Rebalance("fixed", bias={"s1": 1.0}))
    before = time.time()
    prepared = guard.prepare(steered)
    guard.answer(prepared)
    guard.check(REQUEST)
    guard.stream(REQUEST)  # nobody reads it, so nothing is told
    answered, checked = told
    assert [taken.step.value for taken in answered.steps] == [
        *("encode", "prefill", "measure", "rebalance", "alone", "judge", "quote", "decode")
    ]
    assert [taken.step.value for taken in checked.steps] == [
        *("encode", "prefill", "measure", "rebalance", "alone", "judge", "quote")
    ]
    assert all(taken.seconds > 0 for event in told for taken in event.steps)
    assert before <= answered.steps[0].began
    following = list(zip(answered.steps, answered.steps[1:], strict=False))
    assert all(one.began + one.seconds <= other.began + 0.01 for one, other in following)  # two clocks
    whole = sum(taken.seconds for taken in answered.steps[1:])  # the first was taken before the work began
    assert answered.response.usage.seconds * 0.5 < whole < answered.response.usage.seconds * 1.05
    decoding = answered.steps[-1].seconds
    assert answered.token_gaps
    assert min(answered.token_gaps) > 0
    assert sum(answered.token_gaps) < decoding
    assert (checked.first_token_seconds, checked.token_gaps) == (None, ())


def test_between_tokens_that_were_ready_before_the_verdict_there_is_no_time(tiny_backend, registry, monkeypatch):
    told, held, read = [], [], AloneReading.read

    class Watching:
        name = "watching"
        observe = staticmethod(told.append)

    def reading(alone, tokens):
        early = read(alone, tokens)
        held.append(sum(token.branch == "unbiased" for token in early))
        return early

    monkeypatch.setattr(AloneReading, "read", reading)
    guard = scripted(Guard(tiny_backend, registry, model="tiny", observers=[Watching()]), probability=0.1)
    response = guard.answer(REQUEST)
    assert held[0] > 1
    assert len(told[0].token_gaps) == response.usage.completion_tokens - held[0] > 0
    told.clear()
    guard.answer(replace(REQUEST, spans=REQUEST.spans[:1]))  # has no verdict to wait for
    assert len(told[0].token_gaps) == told[0].response.usage.completion_tokens - 1


def test_observers_see_finished_requests_and_cannot_break_them(tiny_backend, registry):
    class Watching:
        name = "watching"
        events = []

        def observe(self, event):
            self.events.append(event)

    class Broken:
        name = "broken"

        def observe(self, event):
            raise SystemError

    watching = Watching()
    guard = Guard(tiny_backend, registry, model="tiny", observers=[Broken(), watching])
    response = guard.answer(REQUEST)
    guard.check(REQUEST)
    assert [event.method for event in watching.events] == ["answer", "check"]
    assert watching.events[0].response == response
    assert 0 < watching.events[0].first_token_seconds <= response.usage.seconds
    assert guard.observer_failures == {"broken": 2}


def test_warnings_say_what_was_not_done(guard):
    request = replace(REQUEST, spans=(Span(text="42"), REQUEST.spans[1]), detail=Detail(toward_answer=True))
    warnings = guard.check(request).warnings
    assert any("toward_answer" in warning for warning in warnings)
    assert any("language of s1" in warning for warning in warnings)


def test_describe(guard):
    info = guard.describe()
    assert (info.model, info.engine, info.architecture) == ("tiny", "transformers", "LlamaForCausalLM")
    assert info.limits.max_prompt_tokens == 1023
    assert [policy.name for policy in info.policies] == ["fixed", "floor", "none", "soften", "target"]
    assert set(info.policies[-1].parameters) == {"share", "share.SPAN"}
    assert info.profile == info.stamp.profile == ""
    with pytest.raises(ModelNotFound, match='"gpt" is not served here; served: tiny'):
        guard.describe("gpt")


def test_time_is_counted(guard):
    started = time.monotonic()
    response = guard.answer(REQUEST, queue_seconds=1.5)
    assert 0 < response.usage.seconds <= time.monotonic() - started
    assert response.usage.queue_seconds == 1.5


def test_an_answer_is_taken_apart_by_the_logits_each_span_adds(guard):
    request = replace(REQUEST, on_error=OnError.OPEN, on_conflict=OnConflict.PLAIN, detail=Detail(toward_answer=True))
    response = guard.answer(request)
    explanation = guard.explain(replace(request, detail=Detail()))
    assert explanation.response.answer == response.answer
    assert [span.toward_answer for span in response.spans] == pytest.approx(list(explanation.directed.toward.values()))
    assert all(span.toward_answer for span in response.spans)
    assert explanation.before.contributions == {span.span_id: span.contribution_before for span in response.spans}
    assert explanation.generated.rows == explanation.directed.tokens - 1


def test_a_withheld_answer_has_no_direction_and_says_so(guard):
    request = replace(REQUEST, spans=REQUEST.spans[:1], on_error=OnError.CLOSED, detail=Detail(toward_answer=True))
    response = guard.answer(request)
    assert response.spans[0].toward_answer is None
    assert any("no answer to point to" in warning for warning in response.warnings)


def test_an_answer_of_white_space_was_read_with_the_bias_all_the_same(tiny_backend, registry):
    loaded = tiny_backend.loaded
    space = loaded.tokenizer(" ")["input_ids"]
    others = tuple(token for token in range(loaded.model.config.vocab_size) if token not in space)
    blank = replace(tiny_backend, loaded=replace(loaded, suppressed=others))
    rebalance = Rebalance("fixed", bias={"s1": 2.0}, scope=Scope.GENERATED)
    response = Guard(blank, registry, model="tiny").answer(replace(REQUEST, rebalance=rebalance))
    assert (response.raw_answer, response.usage.completion_tokens) == ("", 30)
    assert response.rebalancing.applied
    assert response.spans[0].bias == 2.0
    assert all(span.contribution_generated for span in response.spans)
