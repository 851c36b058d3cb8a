"""What vLLM's scheduler does to requests (chunks, cached prefixes, preemption, aborts) changes nothing of a reading."""

from dataclasses import replace

import pytest
import torch

from tests.integration.eager import Eager
from tests.vllm.engine import PROMPT, SPANS, Asked, Engine, array, tokens
from tests.vllm.parity import assert_parity
from xmguard.backends.vllm.spec import KEY, PicturePlace, ReadingSpec
from xmguard.bias import AttentionBias, TargetShares
from xmguard.context import SpanMap, SpanTokens
from xmguard.request import Scope
from xmguard.testing.tiny import make_model

BLOCK, CHUNK, BLOCKS = 32, 64, 18
CACHED = SPANS.context_tokens // BLOCK * BLOCK
LIFT, LOWER = AttentionBias({"b": 2.0}), AttentionBias({"a": -3.0})
LONG = tokens(350, seed=5)
LONG_SPANS = SpanMap((SpanTokens("a", 20, 110), SpanTokens("b", 130, 250), SpanTokens("c", 250, 300)), 300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("llama"), head_dim=32)


@pytest.fixture(scope="module")
def eager(folder):
    return Eager(folder)


@pytest.fixture(scope="module")
def engine(folder):
    """Runs prompts in chunks, and has so few blocks that requests push each other out."""
    engine = Engine(folder, max_num_batched_tokens=CHUNK, num_gpu_blocks_override=BLOCKS, max_model_len=480)
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def empty_cache(engine):
    engine.llm.reset_prefix_cache()


@pytest.mark.parametrize(
    "bias",
    [
        AttentionBias({"a": -2.0, "b": 1.0, "c": -1.0}),
        AttentionBias({"a": 2.0, "b": -1.0}, Scope.ALL),
        AttentionBias({}, Scope.ALL, TargetShares({"a": 0.3, "c": 0.3})),
    ],
    ids=["readers", "every later row", "target, every later row"],
)
def test_a_prompt_that_is_run_in_chunks_reads_as_one_that_is_not(engine, eager, bias):
    asked = Asked(LONG, LONG_SPANS, bias)
    (read,) = engine.read(asked)
    assert len(LONG) > 5 * CHUNK
    assert_parity(eager, asked, read)


def test_readings_share_the_context_and_nothing_after_it(engine, eager):
    context = Asked(PROMPT[: SPANS.context_tokens], steps=1)
    engine.read(context)
    asked = [
        Asked(PROMPT, SPANS),
        Asked(PROMPT, SPANS, LIFT),
        Asked(PROMPT, SPANS, LOWER),
        Asked(PROMPT, SPANS, replace(LIFT, scope=Scope.GENERATED)),
    ]
    for request in asked:
        (read,) = engine.read(request)
        assert read.cached == CACHED
        assert_parity(eager, request, read)


def test_measured_rows_are_run_however_often_they_were_run_before(engine, eager):
    asked = Asked(LONG, SpanMap(LONG_SPANS.spans[:1], 110), AttentionBias({"a": 1.0}))
    reads = [engine.read(asked)[0] for _ in range(2)]
    assert [read.cached for read in reads] == [0, 110 // BLOCK * BLOCK]
    for read in reads:
        assert_parity(eager, asked, read)


def test_unmeasured_readings_share_what_they_read_alike(engine, eager):
    spans = SpanMap(LONG_SPANS.spans[:1], 110)
    asked = Asked(LONG, spans, AttentionBias({"a": 2.0}), more={"measured": False})
    first, second, other = engine.read(asked)[0], engine.read(asked)[0], engine.read(replace(asked, bias=LOWER))[0]
    assert (first.cached, second.cached, other.cached) == (0, 349 // BLOCK * BLOCK, 110 // BLOCK * BLOCK)
    for read, bias in ((first, asked.bias), (second, asked.bias), (other, LOWER)):
        want, _, _ = eager.answer(LONG, read.tokens, spans, bias)
        assert read.tokens == want


def test_rows_that_score_are_run_in_chunks_and_however_often_they_were_run_before(engine, eager):
    begin, choices = 310, (5, 9)
    more = {"measured": False, "scored": tuple(LONG[begin:]), "choices": choices}
    asked = Asked(LONG, LONG_SPANS, LIFT, steps=1, more=more)
    _, logits, _ = eager.answer(LONG[:begin], [*LONG[begin:], choices[0]], LONG_SPANS, LIFT)
    logprobs = torch.log_softmax(logits, -1)
    wanted = [*logprobs[range(len(LONG) - begin), LONG[begin:]].tolist(), *logprobs[-1, list(choices)].tolist()]
    reads = [engine.read(asked)[0] for _ in range(2)]
    assert [read.cached for read in reads] == [0, (begin - 1) // BLOCK * BLOCK]
    for read in reads:
        assert read.only("scores")["logprobs"] == pytest.approx(wanted, abs=1e-4)


def test_a_bias_on_every_later_row_takes_nothing_from_the_cache_after_its_span(engine, eager):
    engine.read(Asked(LONG, steps=1))
    asked = Asked(LONG, LONG_SPANS, AttentionBias({"b": 2.0}, Scope.ALL))
    (read,) = engine.read(asked)
    assert read.cached == 250 // BLOCK * BLOCK
    assert_parity(eager, asked, read)


def test_what_was_said_under_a_bias_does_not_taint_a_later_turn(engine, eager):
    first = Asked(PROMPT, SPANS, AttentionBias({"a": 6.0}), steps=60)
    (read,) = engine.read(first)
    later = [*PROMPT, *read.tokens, *tokens(20, seed=9)]
    for bias in (LIFT, AttentionBias()):
        asked = Asked(later, SPANS, bias)
        (again,) = engine.read(asked)
        assert again.cached == CACHED
        assert_parity(eager, asked, again)
    (plain,) = engine.read(Asked(later))
    want, _, _ = eager.answer(later, plain.tokens, SPANS, AttentionBias())
    assert plain.tokens == want


def test_requests_that_push_each_other_out_read_and_are_measured_once(engine, eager):
    scheduler = engine.llm.llm_engine.engine_core.engine_core.scheduler
    pushed = []
    original = scheduler._preempt_request
    scheduler._preempt_request = lambda request, *rest, **named: (
        pushed.append(request.request_id),
        original(request, *rest, **named),
    )[1]
    try:
        asked = [
            Asked(tokens(118, seed=20 + number), SPANS, bias, steps=80)
            for number, bias in enumerate([LIFT, LOWER, AttentionBias({"c": 3.0}, Scope.ALL), AttentionBias()])
        ]
        reads = engine.read(*asked)
    finally:
        scheduler._preempt_request = original
    assert pushed
    for request, read in zip(asked, reads, strict=True):
        assert_parity(eager, request, read)
    assert engine.known == 0


def test_an_aborted_request_is_told_of_and_forgotten(engine):
    from vllm import SamplingParams
    from vllm.inputs import TokensPrompt

    spec = Asked(PROMPT, SPANS, LIFT).spec("aborted")
    params = SamplingParams(max_tokens=100, temperature=0, ignore_eos=True, extra_args={KEY: spec.to_json()})
    inner = engine.llm.llm_engine
    inner.add_request("to be aborted", TokensPrompt(prompt_token_ids=PROMPT), params)
    for _ in range(5):  # two chunks of the prompt; the second one gives the first token
        inner.step()
    engine.llm.collective_rpc("xmguard_generated", args=(["aborted"],))
    inner.abort_request(["to be aborted"])
    assert engine.known == 1
    engine.read(Asked([1], steps=1))
    assert engine.known == 0
    told = engine_messages(engine, "aborted")
    assert [message["kind"] for message in told].count("prompt") == 1
    running, ended = [message for message in told if message["kind"] == "generated"]
    assert running["rows"] == ended["rows"] == 3
    assert torch.equal(array(running, "norms"), array(ended, "norms"))


def engine_messages(engine, name):
    return [message for message in engine.everything if message["id"] == name]


@pytest.mark.parametrize(
    ("more", "bias", "says"),
    [
        ({"prompt_tokens": 117}, LIFT, "its prompt has 118 tokens"),
        ({"adapter": "stranger"}, LIFT, "no adapter 'stranger'"),
        ({}, AttentionBias({"b": 1.0}, heads=((1.0, 0.5),)), "head factors are for"),
    ],
    ids=["another prompt", "no such adapter", "head factors of another model"],
)
def test_a_reading_that_cannot_be_had_is_an_error_and_its_neighbour_s_is_not(engine, eager, more, bias, says):
    neighbour = Asked(PROMPT, SPANS, LIFT)
    bad, good = engine.read(Asked(PROMPT, SPANS, bias, more=more), neighbour)
    assert len(bad.errors) == 1
    assert says in bad.errors[0]
    assert [message["kind"] for message in bad.told] == ["error"]
    assert_parity(eager, neighbour, good)


def test_a_layer_that_is_missed_is_an_error(engine, monkeypatch):
    from xmguard.backends.vllm.worker import cpu
    from xmguard.backends.vllm.worker.compiled import CompiledPath

    def all_but_the_second(path, call, step, fail):
        if call.layer == 1:
            raise RuntimeError("broken on purpose")

    monkeypatch.setattr(CompiledPath, "__call__", all_but_the_second)
    (read,) = engine.read(Asked(PROMPT, SPANS, LIFT))
    assert len(read.errors) == 1
    assert "layer 1 could not be read" in read.errors[0]
    assert "token" not in [message["kind"] for message in read.told]

    monkeypatch.setattr(cpu.SteeredImpl, "_read_again", lambda *args: None)
    (read,) = engine.read(Asked(PROMPT, SPANS, LIFT))
    assert read.errors == ["its bias reached 0 of 3 layers"]


def test_a_reading_that_is_none_does_not_enter_the_engine(engine):
    from vllm import SamplingParams
    from vllm.exceptions import VLLMValidationError
    from vllm.inputs import TokensPrompt

    for text in ("{}", "no JSON"):
        with pytest.raises(VLLMValidationError, match="is no reading"):
            engine.llm.generate(
                TokensPrompt(prompt_token_ids=PROMPT), SamplingParams(extra_args={KEY: text}), use_tqdm=False
            )


def test_forced_tokens_are_said_and_keep_the_models_probabilities(engine, eager):
    forced = tuple(tokens(12, seed=3))
    (read,) = engine.read(Asked(PROMPT, SPANS, LIFT, steps=12, more={"forced": forced}))
    assert read.tokens == list(forced)
    step = eager.run([*PROMPT, *forced], SPANS, LIFT, len(PROMPT), measure=False)
    logprobs = torch.log_softmax(step.logits[len(PROMPT) - 1 : -1], -1)
    assert read.logprobs == pytest.approx(logprobs[range(12), list(forced)].tolist(), abs=1e-4)
    entropies = torch.distributions.Categorical(logits=logprobs).entropy().tolist()
    assert read.entropies == pytest.approx(entropies, abs=1e-4)


def test_suppressed_tokens_are_not_said_and_the_model_s_probabilities_count_them(engine, eager):
    (free,) = engine.read(Asked(PROMPT, SPANS, LIFT, steps=12))
    suppressed = (*sorted(set(free.tokens)), *range(100))
    (read,) = engine.read(Asked(PROMPT, SPANS, LIFT, steps=12, more={"suppressed": suppressed}))
    assert set(read.tokens).isdisjoint(suppressed)
    step = eager.run([*PROMPT, *read.tokens], SPANS, LIFT, len(PROMPT), measure=False)
    logprobs = torch.log_softmax(step.logits[len(PROMPT) - 1 : -1], -1)
    assert read.logprobs == pytest.approx(logprobs[range(12), read.tokens].tolist(), abs=1e-4)
    entropies = torch.distributions.Categorical(logits=logprobs).entropy().tolist()
    assert read.entropies == pytest.approx(entropies, abs=1e-4)


def test_a_reading_travels_whole():
    heads = ((0.5, 1.0), (0.0, 0.25))
    bias = AttentionBias({"a": float("-inf"), "b": 0.1}, Scope.ALL, TargetShares({"c": 0.3}), heads)
    place = PicturePlace("p", ((3, 7), (9, 12)))
    spec = ReadingSpec("x", SPANS, 118, bias, True, True, (4, 5), (6,), (6, 7), (8, 9), "answer", (place,))
    assert ReadingSpec.from_json(spec.to_json()) == spec
