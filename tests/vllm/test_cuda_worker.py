"""What a worker does on a GPU, as far as a CPU can show it: with vLLM's own builders, and the kernels interpreted."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch

from tests.unit.paged_case import UNTOUCHED
from tests.vllm import cuda_worker


@pytest.fixture(scope="module")
def interpreting():
    spawning = multiprocessing.get_context("spawn")
    interpret = "import os; os.environ['TRITON_INTERPRET'] = '1'"
    with ProcessPoolExecutor(1, mp_context=spawning, initializer=exec, initargs=(interpret, {})) as pool:
        yield lambda function, **changes: pool.submit(function, **changes).result()


@pytest.fixture(scope="module")
def seen(interpreting):
    return interpreting(cuda_worker.step)


def test_a_steered_row_is_read_by_the_kernels_as_the_reference_says(seen):
    torch.testing.assert_close(seen.output[1:2].double(), cuda_worker.wanted(), rtol=2e-5, atol=1e-5)
    assert (seen.output[0] == UNTOUCHED).all()


def test_vllms_own_attention_is_given_no_keys_of_what_is_steered_and_all_of_what_is_not(seen):
    """Its Triton kernel is left one: it divides by the number of tiles."""
    assert seen.flash_lengths == [13, 0, 0]
    assert seen.stock_lengths == [13, 1, 1]
    assert seen.captured_lengths == [13, 21, 1]
    assert [row[0] for row in seen.rows] == [-1, 1, -1]


def test_a_request_that_has_left_its_slot_is_steered_no_more(seen):
    assert (seen.plain == UNTOUCHED).all()


def test_forced_tokens_come_and_entropies_are_told_before_they_are_forced(seen):
    assert seen.forced == [6, 4]
    (message,) = seen.messages
    assert (message["id"], message["kind"], message["index"]) == ("asked", "token", 5)
    logits = torch.zeros(8)
    logits[6] = 1.0
    assert message["entropy"] == pytest.approx(
        torch.distributions.Categorical(logits=logits).entropy().item(), abs=1e-5
    )


def test_the_loader_takes_what_a_worker_finds_out(interpreting):
    found = interpreting(cuda_worker.examined)
    assert (found["layers"], found["heads"], found["path"]) == (1, cuda_worker.CASE.heads, "Triton kernels")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"vllm_flash_attn_version": 4}, "flash attention 4"),
        ({"alibi_slopes": torch.ones(2)}, "ALiBi"),
        ({"attn_type": "encoder_decoder"}, "not as a decoder"),
        ({"kv_sharing_target_layer_name": "other"}, "another layer's keys"),
        ({"chunk_lookback": 1}, "within chunks"),
        ({"kind": "MLA"}, "FLASH_ATTN or TRITON_ATTN is steered"),
    ],
    ids=lambda value: value if value.__class__ is str else "",
)
def test_a_layer_that_cannot_be_steered_is_refused(interpreting, changes, reason):
    assert interpreting(cuda_worker.refused) == []
    (said,) = interpreting(cuda_worker.refused, **changes)
    assert reason in said


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"use_v2_model_runner": False}, "V1 runner"),
        ({"pipeline_parallel_size": 2}, "pipeline parallelism"),
        ({"decode_context_parallel_size": 2}, "decode context parallelism"),
        ({"enable_dbo": True}, "in halves"),
        ({"speculative_config": "a model"}, "speculative decoding"),
        ({"cache_dtype": "fp8"}, "kept as fp8"),
        ({"is_encoder_decoder": True}, "an encoder reads"),
        ({"additional_config": {"xmguard": {"adapters": {"probe": {}}}}}, "adapters"),
    ],
    ids=lambda value: value if value.__class__ is str else "",
)
def test_an_engine_that_cannot_be_steered_is_refused(interpreting, changes, reason):
    assert interpreting(cuda_worker.engine_refusals) == []
    (said,) = interpreting(cuda_worker.engine_refusals, **changes)
    assert reason in said
