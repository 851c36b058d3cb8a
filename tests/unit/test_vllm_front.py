"""The vLLM engine's front where no vLLM is needed: what is told of a request, what is refused, what options come to."""

import json
import re
import threading
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest

from xmguard import load_guard
from xmguard.backends import VLLM_INSTALLING
from xmguard.backends.ending import Ending
from xmguard.backends.vllm import running as running_module
from xmguard.backends.vllm.families import refusals
from xmguard.backends.vllm.running import Running
from xmguard.backends.vllm.spec import ReadingSpec
from xmguard.backends.vllm.support import support
from xmguard.bias import AttentionBias
from xmguard.calibration import FittedFor
from xmguard.cli.engine import engine_options, flags_named
from xmguard.context import SpanMap, SpanTokens
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineError,
    ErrorCode,
    FieldViolation,
    InvalidRequest,
    SetupIncomplete,
)
from xmguard.judging import _unfit
from xmguard.models.checkpoint import ActsOn, AdapterSource

ROOT = Path(__file__).parents[2]
SPANS = SpanMap((SpanTokens("a", 2, 5), SpanTokens("b", 5, 7)), 7)


def request(stop=None, **spec):
    return Running(ReadingSpec("r", SPANS, 9, **spec), stop or Stop())


def sums(kind, values, rows, *, rank=0, ranks=1):
    """A message of sums, one layer: values are [head][segment]."""
    cube = numpy.array([values], dtype=numpy.float32)
    told = {name: (factor * cube).tobytes() for name, factor in (("norms", 1), ("masses", 2), ("epsilons", 3))}
    return {"kind": kind, "rows": rows, "rank": rank, "ranks": ranks, "shape": list(cube.shape), **told}


# -- what is told of a request -----------------------------------------------------------------------------------------


def test_a_token_is_handed_out_once_its_entropy_is_told_whichever_comes_first():
    running = request(told=True)
    running.tell({"kind": "token", "index": 1, "entropy": 0.5})
    running.say([(11, -1.0), (12, -2.0)], cached_tokens=0)
    late = threading.Timer(0.05, running.tell, [{"kind": "token", "index": 0, "entropy": 0.25}])
    late.start()
    first, second = running.token(0), running.token(1)
    late.join()
    assert (first.id, first.logprob, first.entropy) == (11, -1.0, 0.25)
    assert (second.id, second.logprob, second.entropy) == (12, -2.0, 0.5)


def test_sums_become_means_and_ranks_bring_heads_of_their_own():
    running = request(measured=True)
    running.tell(sums("prompt", [[5.0, 6.0, 7.0]], 2, rank=1, ranks=2))
    running.tell(sums("prompt", [[2.0, 4.0, 6.0]], 2, rank=0, ranks=2))
    measured = running.tail()
    assert measured.rows == 2
    assert measured.norms == (((1.0, 2.0, 3.0), (2.5, 3.0, 3.5)),)
    assert measured.masses[0][0] == (2.0, 4.0, 6.0)
    assert measured.epsilons[0][1] == (7.5, 9.0, 10.5)


def test_a_tail_of_which_rows_are_missing_is_an_error():
    running = request(measured=True)
    running.tell(sums("prompt", [[1.0, 1.0, 1.0]], 1))
    with pytest.raises(EngineError, match="measured 1 rows of a tail of 2"):
        running.tail()


def test_the_last_generated_token_is_not_waited_for():
    running = request(measured=True)
    running.say([(1, -1.0), (2, -1.0), (3, -1.0)], cached_tokens=0)
    running.tell(sums("generated", [[1.0, 1.0, 1.0]], 1))
    running.end()
    threading.Timer(0.05, running.tell, [sums("generated", [[4.0, 2.0, 0.0]], 2)]).start()
    assert running.generated().norms == (((2.0, 1.0, 0.0),),)


def test_workers_that_have_told_all_of_a_request_that_is_over_are_not_waited_for(monkeypatch):
    """It ran ahead of whoever takes its tokens, and its workers know nothing of it any more."""
    monkeypatch.setattr(running_module, "LATE", 0.2)
    running = request(measured=True)
    running.say([(1, -1.0), (2, -1.0)], cached_tokens=0)
    running.tell(sums("generated", [[4.0, 2.0, 0.0]], 1))
    running.end()
    running.ask(lambda: None)
    assert running.generated().norms == (((4.0, 2.0, 0.0),),)


def test_what_could_not_be_read_as_asked_is_an_error_and_no_token():
    running = request()
    running.say([(1, -1.0)], cached_tokens=0)
    running.tell({"kind": "error", "text": "a layer was not served"})
    with pytest.raises(EngineError, match="a layer was not served") as caught:
        running.token(0)
    assert caught.value.code is ErrorCode.INTERNAL


def scored(seconds):
    """As vLLM says it: all numbers are there, and the workers have told nothing yet."""
    running = request(Stop(seconds), told=True, forced=(7,), scored=1)
    running.score([-1.0])
    running.say([(7, -3.0)], cached_tokens=0)
    running.end()
    return running


def test_a_score_is_not_used_before_the_workers_have_told_that_its_rows_were_read_as_asked():
    with pytest.raises(DeadlineExceeded):
        scored(0.1).scores()
    running = scored(5)
    running.tell({"kind": "token", "index": 0, "entropy": 1.0})
    assert running.scores() == (-1.0, -3.0)
    running = scored(5)
    running.tell({"kind": "error", "text": "layer 1 could not be read"})
    with pytest.raises(EngineError, match="layer 1 could not be read"):
        running.scores()


def test_another_token_than_the_scored_one_is_an_error():
    running = request(told=True, forced=(7,), scored=1)
    running.say([(8, -3.0)], cached_tokens=0)
    running.tell({"kind": "token", "index": 0, "entropy": 1.0})
    with pytest.raises(EngineError, match="other tokens"):
        running.scores()


def test_a_request_that_ends_early_or_of_which_nothing_is_told_is_an_error(monkeypatch):
    running = request()
    running.end()
    with pytest.raises(EngineError, match="ended a request after 0 tokens"):
        running.token(0)
    monkeypatch.setattr(running_module, "LATE", 0.0)
    with pytest.raises(EngineError, match="did not tell the logits of the probe"):
        running.probed()


def test_a_caller_that_cancels_waits_no_longer():
    stop = Stop()
    running = request(stop)
    threading.Timer(0.05, stop.cancel).start()
    with pytest.raises(Cancelled):
        running.token(0)


# -- what is refused, and what options come to -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "kind", "why"),
    [
        ("Gemma3ForConditionalGeneration", "gemma3", "tokens of a picture read each other both ways"),
        ("PaliGemmaForConditionalGeneration", "paligemma", "tokens of a picture read each other both ways"),
        ("Qwen2VLForConditionalGeneration", "qwen2_vl", "makes other features of a picture than the stock one"),
        ("MllamaForConditionalGeneration", "mllama", "pictures are read by cross-attention"),
        ("SmolVlmTinyForConditionalGeneration", "smolvlm_tiny", "is not proven to be steered exactly"),
    ],
)
def test_a_family_whose_pictures_are_not_read_exactly_is_refused_with_the_reason(tmp_path, architecture, kind, why):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture], "model_type": kind}))
    first, *_ = refusals(tmp_path)
    assert architecture in first
    assert why in first


def test_a_model_is_refused_for_its_family_its_files_and_its_adapters(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["OPTForCausalLM"], "model_type": "opt"}')
    everywhere = AdapterSource(tmp_path, "", "", ActsOn.ALL)
    family, *files, adapter = refusals(tmp_path, [everywhere])
    assert family.startswith("architecture OPTForCausalLM of model type opt is not proven to be steered exactly by")
    assert "it holds no *.safetensors weights" in files
    assert "merge it into the weights first" in adapter


def test_engine_options_are_read_as_json_or_as_text():
    found = engine_options(
        ["max_num_seqs=64", "kv_cache_dtype=auto", "hf_overrides={}"],
        tensor_parallel=2,
        concurrency=0,
        experimental=True,
    )
    assert found == {
        "max_num_seqs": 64,
        "kv_cache_dtype": "auto",
        "hf_overrides": {},
        "tensor_parallel_size": 2,
        "experimental": True,
    }
    with pytest.raises(InvalidRequest, match="'max_num_seqs' is no NAME=VALUE"):
        engine_options(["max_num_seqs"], tensor_parallel=1, concurrency=0, experimental=False)


def test_what_an_engine_refuses_is_told_by_the_flag_that_it_was_given_by():
    refused = [FieldViolation(name, "is wrong") for name in ("x", "concurrency", "dtype", "y")]
    with pytest.raises(InvalidRequest) as caught, flags_named({"x": 1, "concurrency": 2}):
        raise InvalidRequest(refused)
    assert [found.field for found in caught.value.violations] == ["--engine-option x", "--concurrency", "dtype", "y"]
    assert str(caught.value).startswith("--engine-option x: is wrong; ")


def test_an_engine_or_an_option_that_is_none_is_refused(tiny_folder, registry):
    with pytest.raises(InvalidRequest, match="engine: is 'sglang'; one of "):
        load_guard(str(tiny_folder), engine="sglang", registry=registry)
    with pytest.raises(InvalidRequest, match="max_num_seqs: is no option of the transformers engine"):
        load_guard(str(tiny_folder), options={"max_num_seqs": 4}, registry=registry)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_without_vllm_the_engine_says_how_to_install_it(tiny_folder, registry):
    with pytest.raises(SetupIncomplete) as caught:
        load_guard(str(tiny_folder), engine="vllm", registry=registry)
    (target,) = re.findall(r"`make (\S+)`", str(caught.value))
    (section,) = re.findall(r'README\.md says under "(.+)"', str(caught.value))
    assert f"\n{target}: " in (ROOT / "Makefile").read_text()
    readme = (ROOT / "README.md").read_text().partition(f"\n### {section}\n")[2].partition("\n#")[0]
    assert f"make {target} " in readme
    assert str(caught.value).endswith(f"; {VLLM_INSTALLING}")
    assert dict(support())["usable"].endswith(f"; {VLLM_INSTALLING}")


def test_a_fit_holds_for_an_engine_that_gives_the_same_numbers_and_for_no_other():
    fitted = SimpleNamespace(fitted_for=FittedFor("m", "transformers", "float32"))

    def why_not(**own):
        fields = {"evidence_hash": "m", "engine": "vllm", "dtype": "float32", "agrees_with": ("transformers",)}
        return _unfit(fitted, SimpleNamespace(**(fields | own)))

    assert why_not() == ""
    assert "for engine transformers, loaded is vllm" in why_not(agrees_with=())
    assert "for dtype float32, loaded is bfloat16" in why_not(dtype="bfloat16")
    assert "for model_hash m, loaded is n" in why_not(evidence_hash="n")


def test_a_line_ends_a_branch_of_one_line_only_after_something_was_said():
    words = {1: "\n", 2: " ", 3: "yes", 4: " sir\nand", 5: "!\n"}

    def ends(ids, **branch):
        ending = Ending(
            Branch("b", (), AttentionBias(), **branch), end_ids={9}, budget=5, text=lambda one: words[one[0]]
        )
        return [ending.at(token) for token in ids]

    assert ends([1, 2, 3, 1], single_line=True) == [(False, False)] * 3 + [(True, True)]
    assert ends([3, 4], single_line=True)[-1] == (True, False)
    assert ends([1, 3, 1, 2, 5]) == [(False, False)] * 4 + [(True, False)]
    assert ends([9]) == [(True, True)]


def test_letters_that_take_several_tokens_are_something_said():
    def ends(said):
        ending = Ending(
            Branch("b", (), AttentionBias(), single_line=True),
            end_ids=(),
            budget=99,
            text=lambda ids: bytes(ids).decode(errors="replace"),
        )
        return [ending.at(byte) for byte in said.encode()]

    for said in ("红色", "дом", "…红", "\n色", "かな"):
        assert ends(f"{said}\n然后")[: len(said.encode()) + 1] == [(False, False)] * len(said.encode()) + [(True, True)]
    assert ends("\n…\n") == [(False, False)] * 5
