"""The whole guard on a started engine: it answers what the transformers engine answers, and nothing is leaked."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.bad_input import BAD, CONFLICT
from tests.integration.test_cost import AllDisagree
from tests.vllm.alike import assert_alike
from xmguard import AnswerRequest, Decoding, Detail, OnError, Rebalance, Span, load_guard
from xmguard.bias import AttentionBias
from xmguard.context import EncodedPrompt, SpanMap, SpanTokens
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.errors import Cancelled, DeadlineExceeded, EngineError, InvalidRequest, ModelRefused, Reason
from xmguard.request import Scope
from xmguard.response import Delta, Done, FinishReason
from xmguard.testing import make_model

STEERED = AnswerRequest(
    spans=(
        Span("bank", "The museum opened in 1962 on the north bank of the river, in a former mill.", language="en"),
        Span("street", "The museum opened in 1975.", language="en"),
        Span("harbour", "Das Museum wurde 1962 am Hafen eröffnet.", language="de"),
    ),
    question="When did the museum open?",
    rebalance=Rebalance("fixed", bias={"bank": 2.0, "street": -1.0}),
    decoding=Decoding(max_tokens=12),
    detail=Detail(alone_answers=True, unbiased_answer=True, layers=True),
    on_error=OnError.OPEN,
)
REQUESTS = {
    "steered": STEERED,
    "everything steered": replace(STEERED, rebalance=replace(STEERED.rebalance, scope=Scope.ALL)),
    "generated steered": replace(STEERED, rebalance=replace(STEERED.rebalance, scope=Scope.GENERATED)),
    "measured only": replace(STEERED, rebalance=Rebalance("none")),
    "one span": replace(STEERED, spans=STEERED.spans[:1], rebalance=Rebalance("none")),
    "shares": replace(STEERED, rebalance=Rebalance("target", {"share.bank": 0.5, "share.street": 0.1})),
}
OPTIONS = {"concurrency": 4, "kv_cache_memory_bytes": 64 << 20}
SUPPRESSED = list(range(100, 160))
LONG = replace(STEERED, decoding=Decoding(max_tokens=600))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that never says some tokens; both engines are told by its folder."""
    folder = make_model(tmp_path_factory.mktemp("llama"), head_dim=32)
    (folder / "generation_config.json").write_text(json.dumps({"suppress_tokens": SUPPRESSED}))
    return folder


@pytest.fixture(scope="module")
def guard(folder, registry, in_processes):
    guard = load_guard(str(folder), engine="vllm", options=OPTIONS, registry=registry)
    yield guard
    guard.backend.close()


@pytest.fixture(scope="module")
def other(folder, registry):
    return load_guard(str(folder), registry=registry)


def freed(guard):
    """Whether the engine has forgotten every request, within a second."""
    end = time.monotonic() + 10
    engine = guard.backend.loaded.engine
    while engine.running or any(engine.call("xmguard_known")):
        assert time.monotonic() < end, (engine.running, engine.call("xmguard_known"))
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_both_engines_answer_alike(guard, other, request_):
    assert_alike(guard.answer(request_), other.answer(request_))
    assert freed(guard)


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_what_is_run_is_within_what_was_said_it_would_cost(guard, request_):
    ready = guard.prepare(request_)
    usage = guard.answer(ready).usage
    run = usage.prompt_tokens + usage.completion_tokens + usage.evidence_tokens
    assert run <= ready.cost < 3 * run


@pytest.mark.parametrize("scope", [Scope.READERS, Scope.ALL], ids=["readers", "everything"])
def test_so_is_what_features_and_quotes_run_whether_or_not_it_was_asked_before(guard, monkeypatch, scope):
    features = ("yes_no", "explicit_prompt", "isolated_drop", "steered_flip")
    monkeypatch.setattr(guard._judge, "_estimator", AllDisagree(features))
    more = " Nobody knows who built it. It is open every day but Monday."
    request = replace(
        STEERED,
        question=f"When did the museum open, and what is it like ({scope.name})?",
        spans=tuple(replace(span, text=span.text + more) for span in STEERED.spans),
        rebalance=replace(STEERED.rebalance, scope=scope),
    )
    ready, runs = guard.prepare(request), []
    for _ in range(2):
        response = guard.answer(ready)
        assert any(pair.evidence_a for pair in response.verdict.disagreements)
        usage = response.usage
        runs.append(usage.prompt_tokens + usage.completion_tokens + usage.evidence_tokens)
    first, second = runs
    assert second < first <= ready.cost < 3 * first


def test_requests_at_once_do_not_mix(guard):
    questions = [f"Question {number}: when did the museum open?" for number in range(6)]
    requests = [replace(STEERED, question=question) for question in questions]
    alone = [guard.answer(request).raw_answer for request in requests]
    assert len(set(alone)) > 1
    with ThreadPoolExecutor(4) as pool:
        assert [response.raw_answer for response in pool.map(guard.answer, requests)] == alone
    assert freed(guard)


def test_the_verdict_comes_before_the_first_word(guard):
    kinds = [type(event).__name__ for event in guard.stream(STEERED)]
    assert kinds[:2] == ["Started", "ConflictVerdict"]
    assert kinds[-1] == "Done"
    assert set(kinds[2:-1]) == {"Delta"}


def test_the_context_is_run_once_for_all_branches_and_found_again(guard):
    request = replace(
        STEERED, question="Who built it?", spans=(*STEERED.spans, Span("d", "A sentence of its own. " * 8))
    )
    first, second = guard.answer(request).usage, guard.answer(request).usage
    branches = first.cached_tokens / first.prompt_tokens
    assert branches > 8
    assert second.cached_tokens >= first.cached_tokens
    with_other_bias = guard.answer(replace(request, rebalance=Rebalance("fixed", bias={"bank": -3.0}))).usage
    assert with_other_bias.cached_tokens >= first.cached_tokens * 0.95


def test_cancelling_stops_it_and_frees_its_place(guard):
    stop = Stop()
    stream = guard.stream(LONG, stop=stop)
    for event in stream:
        if isinstance(event, Delta):
            stop.cancel()
            break
    with pytest.raises(Cancelled):
        list(stream)
    assert freed(guard)


def test_a_deadline_stops_it_and_frees_its_place(guard):
    with pytest.raises(DeadlineExceeded):
        guard.answer(LONG, stop=Stop(0.4))
    assert freed(guard)


def test_an_abandoned_stream_frees_its_place(guard):
    stream = guard.stream(LONG)
    next(stream)
    stream.close()
    assert freed(guard)


def test_what_is_asked_amid_a_stream_is_what_was_read_back_so_far(guard):
    backend = guard.backend
    prompt = guard.prepare(STEERED).prompt
    session = backend.open(prompt, Stop())
    branch = Branch("joint", prompt.joint_tail, AttentionBias({"bank": 1.0}), measured=True)
    tokens = session.decode([branch], {"joint": Decoding(max_tokens=40)})
    for _ in range(4):
        next(tokens)
    midway = session.generated(branch)
    assert 3 <= midway.rows <= 40
    list(tokens)
    whole = session.generated(branch)
    assert whole.rows == 39
    session.close()
    assert freed(guard)


@pytest.mark.parametrize(("request_", "field"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_the_same_words(guard, other, request_, field):
    said = []
    for each in (guard, other):
        with pytest.raises(InvalidRequest) as caught:
            each.answer(replace(request_, model=""))
        assert field in [violation.field for violation in caught.value.violations]
        said.append((caught.value.code, caught.value.reason, str(caught.value)))
    assert said[0] == said[1]


def test_an_answer_is_cut_where_the_context_ends(guard, other):
    spans = (Span("a", "word " * 110), Span("b", "other " * 50))
    request = replace(STEERED, spans=spans, rebalance=Rebalance("none"), decoding=Decoding(max_tokens=1000))
    found, wanted = guard.answer(request), other.answer(request)
    assert found.finish_reason is wanted.finish_reason is FinishReason.LENGTH
    assert found.usage.completion_tokens == wanted.usage.completion_tokens
    assert found.raw_answer == wanted.raw_answer


def test_suppressed_tokens_are_not_said_and_entropies_are_the_model_s(guard, other):
    said = []
    for each in (guard, other):
        prompt = each.prepare(STEERED).prompt
        session = each.backend.open(prompt, Stop())
        branch = Branch("joint", prompt.joint_tail, AttentionBias({"bank": 1.0}))
        said.append(list(session.decode([branch], {"joint": Decoding(max_tokens=8)})))
        session.close()
    found, wanted = said
    assert [token.id for token in found] == [token.id for token in wanted]
    assert {token.id for token in found}.isdisjoint(SUPPRESSED)
    for name in ("logprob", "entropy"):
        numbers = [[getattr(token, name) for token in tokens] for tokens in said]
        assert numbers[0] == pytest.approx(numbers[1], abs=1e-4)


def test_an_answer_is_scored_up_to_where_the_context_ends(guard, other):
    """Such a prompt is one that `encode` lets through: an answer of one token has room after it."""
    count, ids = guard.backend.context_length - 3, tuple(range(3, 200)) * 10
    spans = SpanMap((SpanTokens("a", 0, 40), SpanTokens("b", 40, count - 8)), count - 8)
    prompt = EncodedPrompt(ids[: count - 8], spans, ids[:8], ids[:8])
    said = []
    for backend in (guard.backend, other.backend):
        session = backend.open(prompt, Stop())
        readers, generated = (
            Branch(scope.name, prompt.joint_tail, AttentionBias({"a": 1.0}, scope))
            for scope in (Scope.READERS, Scope.GENERATED)
        )
        said.append(session.score([(readers, (5, 6, 7)), (generated, (5, 6, 7)), (readers, (9,))]))
        if backend is guard.backend:
            with pytest.raises(InvalidRequest, match="send less text") as caught:
                session.score([(readers, (5, 6, 7, 8))])
            assert caught.value.reason is Reason.PROMPT_TOO_LONG
        session.close()
    for found, wanted in zip(*said, strict=True):
        assert found == pytest.approx(wanted, abs=1e-4)
    assert freed(guard)


def test_what_the_engine_does_not_tell_is_said_to_be_absent(guard):
    response = guard.answer(replace(STEERED, detail=Detail(toward_answer=True)))
    assert [warning for warning in response.warnings if warning.startswith("detail.toward_answer: the vllm engine")]
    assert {span.toward_answer for span in response.spans} == {None}


def test_a_seed_makes_sampling_repeatable(guard):
    request = replace(STEERED, decoding=Decoding(max_tokens=12, temperature=1.0, seed=7))
    first, second = guard.answer(request), guard.answer(request)
    assert first.raw_answer == second.raw_answer
    assert guard.answer(replace(request, decoding=replace(request.decoding, seed=8))).raw_answer != first.raw_answer


def test_the_engine_passes_its_self_test_and_says_what_it_is(guard):
    assert [check.name for check in guard.backend.self_test() if not check.passed] == []
    described = guard.describe()
    assert (described.engine, described.architecture) == ("vllm", "LlamaForCausalLM")
    assert guard.backend.concurrency == 4


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"block_size": 64}, "block_size: is set by xmguard"),
        ({"max_num_sequences": 4}, "max_num_sequences: is no argument of vLLM's engine; max_num_seqs is"),
        ({"concurrency": 0}, "concurrency: is 0"),
        ({"concurrency": True, "experimental": "no"}, "concurrency: is True.*experimental: is 'no'"),
        ({"max_model_len": 0}, "max_model_len: is 0"),
        ({"max_model_len": 10**6}, "max_model_len: is 1000000; the model reads 1024 tokens"),
        ({"hf_overrides": {"rope_theta": 1.0}}, "hf_overrides: would change the numbers"),
        ({"kv_cache_dtype": "bfloat16"}, "kv_cache_dtype: would change the numbers"),
        ({"nnodes": 2}, "nnodes: would need ranks that hear of no reading"),
        ({"data_parallel_size": 2}, "data_parallel_size: would start engines side by side"),
    ],
)
def test_an_option_that_is_none_is_refused(folder, registry, options, complaint):
    with pytest.raises(InvalidRequest, match=complaint):
        load_guard(str(folder), engine="vllm", options=options, registry=registry)


def test_a_shorter_context_than_the_model_s_may_be_asked_for():
    from xmguard.backends.vllm.settings import EngineSettings

    read = EngineSettings.read("cpu", "float32", {"max_model_len": 512, "kv_cache_dtype": "auto"})
    assert (read.context_length(1024), read.arguments.get("max_model_len")) == (512, None)
    assert EngineSettings.read("cpu", "float32", {}).context_length(1024) == 1024


def test_a_family_that_is_not_proven_is_refused(tmp_path, registry):
    other = make_model(tmp_path, family="Olmo2", head_dim=32)
    with pytest.raises(ModelRefused, match="Olmo2ForCausalLM of model type olmo2 is not proven"):
        load_guard(str(other), engine="vllm", registry=registry)


def test_a_device_that_this_vllm_does_not_run_on_is_refused(folder, registry):
    with pytest.raises(InvalidRequest, match="device: is 'cuda'; the installed vLLM runs on cpu"):
        load_guard(str(folder), engine="vllm", device="cuda", registry=registry)


def test_when_the_engine_dies_streams_end_at_once_and_nothing_new_is_taken(guard):
    """The last test: the engine does not survive it."""
    import psutil

    running, ended = threading.Event(), []

    def watch():
        try:
            for event in guard.stream(LONG):
                if isinstance(event, Delta):
                    running.set()
                assert not isinstance(event, Done)
        except EngineError as error:
            ended.append((error, time.monotonic()))

    reader = threading.Thread(target=watch)
    reader.start()
    assert running.wait(60)
    (core,) = (
        child for child in psutil.Process().children() if "EngineCore" in child.name() + "".join(child.cmdline())
    )
    killed = time.monotonic()
    core.kill()
    reader.join(10)
    ((error, when),) = ended
    assert when - killed < 2.0
    assert error.code.name == "UNAVAILABLE"
    assert guard.backend.failure
    with pytest.raises(EngineError):
        guard.answer(CONFLICT)
