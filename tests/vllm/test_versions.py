"""What is found out before anything is read: whether vLLM is as it is known, and what no reading can be had of."""

from types import SimpleNamespace

import pytest
import torch

from xmguard.backends.vllm.support import support
from xmguard.backends.vllm.worker import hashing, layout, refusals, versions


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_installed_vllm_is_as_it_is_known(device):
    assert versions.moved(device) == []
    assert versions.line(device) == ""


def test_what_has_moved_for_gpus_only_is_no_matter_elsewhere(monkeypatch):
    monkeypatch.setattr(versions, "CUDA_NAMES", ("vllm.v1.gone.Thing",))
    assert versions.line("cpu") == ""
    assert "vllm.v1.gone.Thing is gone" in versions.line("cuda")


def test_blocks_of_a_cache_that_are_keyed_in_an_unknown_way_are_left_alone(monkeypatch):
    from vllm.v1.core import block_pool, kv_cache_utils

    assert hashing.known()

    def moved(request, start_token_idx, end_token_idx):
        """One parameter fewer."""

    for module in (kv_cache_utils, block_pool):
        monkeypatch.setattr(module, hashing.FUNCTION, moved)
    assert not hashing.known()
    hashing.install()
    assert getattr(kv_cache_utils, hashing.FUNCTION) is getattr(block_pool, hashing.FUNCTION) is moved


def test_what_has_moved_is_named_in_one_line(monkeypatch):
    monkeypatch.setattr(versions, "NAMES", ("vllm.v1.gone.Thing", "vllm.SamplingParams"))
    monkeypatch.setattr(versions, "FIELDS", {"vllm.v1.sample.logits_processor.BatchUpdate": ("removed", "swapped")})
    said = versions.line()
    assert "\n" not in said
    assert "vllm.v1.gone.Thing is gone" in said
    assert "BatchUpdate has no swapped" in said
    assert "SamplingParams" not in said


def test_doctor_says_by_what_rows_are_read_on_this_device(monkeypatch):
    import vllm.platforms

    assert dict(support())["rows are read by"].startswith("a kernel compiled by numba")
    gpu = SimpleNamespace(device_type="cuda", is_cuda=lambda: True, get_device_capability=lambda: None)
    monkeypatch.setattr(vllm.platforms, "current_platform", gpu)
    told = dict(support())
    assert told["rows are read by"] == "Triton kernels"
    assert told["device"].startswith("CUDA: unverified")


def config(**changes):
    """What is read of a `VllmConfig`, in an engine that can be steered; a change is `part__field`."""
    parts = {
        "model_config": {"use_mla": False, "is_encoder_decoder": False, "is_mm_prefix_lm": False},
        "parallel_config": {"pipeline_parallel_size": 1, "decode_context_parallel_size": 1},
        "cache_config": {"cache_dtype": "auto"},
        "kv_transfer_config": None,
        "speculative_config": None,
        "use_v2_model_runner": False,
    }
    for name, value in changes.items():
        part, _, field = name.partition("__")
        if field:
            parts[part][field] = value
        else:
            parts[part] = value
    return SimpleNamespace(
        **{name: SimpleNamespace(**part) if isinstance(part, dict) else part for name, part in parts.items()}
    )


def test_an_engine_that_can_be_steered_is_not_refused():
    assert list(refusals.config_reasons(config())) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_config__use_mla": True}, "MLA"),
        ({"cache_config__cache_dtype": "fp8_e5m2"}, "fp8"),
        ({"parallel_config__pipeline_parallel_size": 2}, "pipeline"),
        ({"parallel_config__decode_context_parallel_size": 2}, "decode context"),
        ({"speculative_config": object()}, "speculative decoding"),
        ({"use_v2_model_runner": True}, "V2 runner"),
        ({"model_config__is_mm_prefix_lm": True}, "both ways"),
        ({"parallel_config__enable_dbo": True}, "in halves"),
    ],
)
def test_what_no_reading_can_be_had_of_is_refused_with_its_reason(changes, says):
    (reason,) = refusals.config_reasons(config(**changes))
    assert says in reason


def test_layers_with_alibi_or_another_attention_are_refused():
    def layer(attn_type="decoder", **impl):
        return SimpleNamespace(head_size=32, head_size_v=32, attn_type=attn_type, impl=SimpleNamespace(**impl))

    layers = {
        "good": layer(reads_again=True, alibi_slopes=None),
        "slopes": layer(reads_again=True, alibi_slopes=torch.ones(2)),
        "encoder": layer("encoder_only", reads_again=True),
        "stock": layer(),
    }
    reasons = list(refusals.layer_reasons(layers))
    assert [reason.split()[0] for reason in reasons] == ["slopes", "encoder", "stock"]


def test_any_order_of_a_block_s_numbers_is_found_and_undone():
    block, heads, head_dim = 4, 2, 6
    shuffled = torch.randperm(block * head_dim, generator=torch.Generator().manual_seed(1))

    def write(key, value):
        """Keys in rows of dimensions, values in an order of their own: [token, head, dim] to [1, head, ...]."""
        keys = key.permute(1, 2, 0).reshape(1, heads, -1)
        values = value.transpose(0, 1).reshape(1, heads, -1)[..., shuffled]
        return keys, values

    for dtype in (torch.float32, torch.bfloat16):
        found = layout.found(write, dtype, block, heads, head_dim)
        content = torch.randn(3 * block, heads, head_dim, dtype=dtype)
        pages = [write(part, part) for part in content.split(block)]
        wanted = content.transpose(0, 1)
        assert torch.equal(found.key.pages(torch.stack([keys for keys, _ in pages], 1))[0], wanted)
        assert torch.equal(found.value.pages(torch.stack([values for _, values in pages], 1))[0], wanted)


def test_a_cache_that_changes_numbers_is_no_reordering():
    def halved(key, value):
        return key.transpose(0, 1).unsqueeze(0), value.transpose(0, 1).unsqueeze(0) / 2

    with pytest.raises(RuntimeError, match="not a mere reordering"):
        layout.found(halved, torch.float32, 4, 2, 6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_order_of_this_machine_s_cache_is_found(dtype):
    from vllm import _custom_ops as ops
    from vllm.v1.attention.backends.cpu_attn import _get_attn_isa

    block, heads, head_dim = 32, 2, 64
    isa = _get_attn_isa(dtype, block, head_dim)
    found = layout.cpu_layout(isa, dtype, block, heads, head_dim)
    key, value = torch.randn(2, 2 * block, heads, head_dim).to(dtype).unbind()
    keys, values = torch.zeros(2, heads, 2 * block, head_dim, dtype=dtype).chunk(2, dim=2)
    ops.cpu_attn_reshape_and_cache(key.contiguous(), value.contiguous(), keys, values, torch.arange(2 * block), isa)
    assert torch.equal(found.key.pages(keys.unsqueeze(0))[0], key.transpose(0, 1))
    assert torch.equal(found.value.pages(values.unsqueeze(0))[0], value.transpose(0, 1))


def test_a_rank_with_another_xmguard_is_refused():
    from xmguard import __version__
    from xmguard.backends.vllm.loader import check_versions
    from xmguard.errors import SetupIncomplete

    check_versions([{"version": __version__}] * 2)
    with pytest.raises(SetupIncomplete, match=r"rank 1 runs xmguard 0\.0\.9, rank 2 .* older kind; here"):
        check_versions([{"version": __version__}, {"version": "0.0.9"}, {}])


def test_workers_on_other_machines_are_heard_over_tcp():
    from xmguard.backends.vllm.settings import EngineSettings

    for name, machines in (("mp", False), ("ray", True)):
        asked = EngineSettings.read("cuda", "bfloat16", {"distributed_executor_backend": name})
        assert asked.machines is machines
