"""One decoding step as a worker on a GPU would run it: vLLM's own metadata builders, xmguard's tap and kernels.

The kernels are interpreted on the CPU and vLLM's own attention is left out, which needs a GPU. Runs in a process that
set TRITON_INTERPRET before anything imported triton.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from unittest.mock import patch

import torch
from torch import Tensor

from tests.unit.paged_case import PagedCase, Request, expected, prepare, reads
from xmguard.attention.slot_tables import LAST
from xmguard.backends.vllm.sealing import new_secret, opened
from xmguard.backends.vllm.spec import KEY, ReadingSpec
from xmguard.backends.vllm.worker.readings import ModelFacts
from xmguard.bias import AttentionBias
from xmguard.context import SpanMap, SpanTokens

SPAN, CONTEXT, PROMPT, LENGTH = (3, 9), 12, 16, 21
SPEC = ReadingSpec(
    "asked",
    SpanMap((SpanTokens("a", *SPAN),), CONTEXT),
    prompt_tokens=PROMPT,
    bias=AttentionBias({"a": 2.0}),
    told=True,
    forced=(0, 0, 0, 0, 0, 4),
)
READING = reads(SPAN, epsilon=(2.0,), reader=CONTEXT, measured_from=LAST)
CASE = PagedCase(requests=(Request(13), Request(LENGTH, reading=READING)), padding=1, page_keys=16, head_dim=32)
SECRET = new_secret()
LAYER = "model.layers.0.self_attn.attn"
SLOTS = [2, 1]
"""Of the two requests."""


@dataclass(frozen=True)
class Seen:
    """What came of the step."""

    stock_lengths: list[int]
    flash_lengths: list[int]
    """The same from the builder for flash attention."""
    captured_lengths: list[int]
    """As a graph is captured, before any request."""
    rows: list[list[int]]
    output: Tensor
    plain: Tensor
    """Of the same step once the request has left its slot."""
    forced: list[int]
    """The likeliest token of each request after the tap."""
    messages: list[dict]


def wanted() -> Tensor:
    """What the reference reads in the second request."""
    return expected(prepare(CASE), 1).reference.output[0].transpose(0, 1)


def configuration(address: str) -> SimpleNamespace:
    """As much of a `VllmConfig` as builders and worker look at."""
    from vllm.config import CUDAGraphMode
    from vllm.model_executor.layers.attention import Attention

    layer = Attention.__new__(Attention)
    torch.nn.Module.__init__(layer)
    layer.num_heads, layer.num_kv_heads, layer.head_size = CASE.heads, CASE.kv_heads, CASE.head_dim
    return SimpleNamespace(
        additional_config={KEY: {"address": address, "secret": SECRET}},
        parallel_config=SimpleNamespace(rank=0, tensor_parallel_size=1, cp_kv_cache_interleave_size=1),
        cache_config=None,
        attention_config=None,
        kernel_config=SimpleNamespace(enable_jit_warmup=False),
        scheduler_config=SimpleNamespace(max_num_seqs=4),
        compilation_config=SimpleNamespace(
            static_forward_context={LAYER: layer},
            max_cudagraph_capture_size=None,
            cudagraph_mode=CUDAGraphMode.NONE,
        ),
        model_config=SimpleNamespace(
            get_num_attention_heads=lambda parallel: CASE.heads,
            get_num_kv_heads=lambda parallel: CASE.kv_heads,
            get_head_size=lambda: CASE.head_dim,
            rswa_window=None,
            is_mm_prefix_lm=False,
        ),
    )


def step() -> Seen:
    """Run it."""
    import msgspec
    import numpy
    import zmq
    from vllm.v1.attention.backend import CommonAttentionMetadata

    from xmguard.backends.vllm.worker import cuda
    from xmguard.backends.vllm.worker.cuda_engine import engine_of
    from xmguard.backends.vllm.worker.cuda_tap import CudaTap

    inputs = prepare(CASE)
    query, key, _, output, batch, _, _ = inputs.arguments
    cache = key.as_strided((*key.shape[:3], 2 * CASE.head_dim), key.stride())
    with TemporaryDirectory() as folder:
        address = f"ipc://{Path(folder) / 'told'}"
        socket = zmq.Context.instance().socket(zmq.PULL)
        socket.bind(address)
        config = configuration(address)
        tap = CudaTap(config, SimpleNamespace(device=torch.device("cpu")))
        kept = SimpleNamespace(
            block_size=16,
            num_kv_heads=CASE.kv_heads,
            head_size=CASE.head_dim,
            dtype=CASE.dtype,
            dcp_sharded=False,
        )
        builder = cuda.SteeredTritonBuilder(kept, [LAYER], config, torch.device("cpu"))
        flash = cuda.SteeredFlashBuilder(kept, [LAYER], config, torch.device("cpu"))
        common = CommonAttentionMetadata(
            query_start_loc=batch.query_start_loc,
            query_start_loc_cpu=batch.query_start_loc,
            seq_lens=batch.seq_lens,
            num_reqs=3,
            num_actual_tokens=2,
            max_query_len=1,
            max_seq_len=LENGTH,
            block_table_tensor=batch.block_table,
            slot_mapping=torch.zeros(2, dtype=torch.int64),
            req_idx=numpy.array(SLOTS),
            seq_lens_cpu_upper_bound=batch.seq_lens,
        )
        captured = builder.build(0, common).seq_lens.tolist()
        engine = engine_of(config, "cpu")
        engine.learn(ModelFacts({LAYER: 0}, CASE.heads, slice(0, CASE.heads), [inputs.options["factors"]]))
        names = dict(zip(SLOTS, ("plain", "steered"), strict=True))
        engine.slots.occupant = names.get
        tap.add_request(SLOTS[0], SimpleNamespace(extra_args=None))
        assert tap.add_request(SLOTS[1], SimpleNamespace(extra_args={KEY: SPEC.to_json()}))
        engine.slots.reader(SLOTS[1]).next_token = LENGTH - PROMPT  # as if the tokens before had been generated

        layer = cuda.SteeredTritonImpl.__new__(cuda.SteeredTritonImpl)
        scaling = inputs.options["scaling"]
        vars(layer).update(_vllm_config=config, _engine=None, scale=scaling, logits_soft_cap=0, sinks=None)
        layer.sliding_window = (-1, -1)

        def serve() -> tuple[object, Tensor]:
            metadata = builder.build(0, common)
            read = output.clone()
            layer._serve(SimpleNamespace(layer_name=LAYER), query, cache, getattr(metadata, cuda.BATCH), read)
            return metadata, read

        tap.apply_staged_writes()
        metadata, read = serve()
        lengths, rows = metadata.seq_lens.tolist(), getattr(metadata, cuda.BATCH).rows.tolist()
        flash_lengths = flash.build(0, common).seq_lens.tolist()
        logits = torch.zeros(2, 8)
        logits[:, 6] = 1.0
        bounds = batch.seq_lens[:2].numpy()
        logits = tap.apply(logits, SimpleNamespace(idx_mapping_np=numpy.array(SLOTS), seq_lens_upper_bound_np=bounds))
        del names[SLOTS[1]]
        tap.apply_staged_writes()
        _, plain = serve()
        engine.slots._reports.close()
        messages = []
        while socket.poll(1000):
            messages.append(msgspec.msgpack.decode(opened(SECRET, socket.recv_multipart())))
        socket.close(0)
    return Seen(lengths, flash_lengths, captured, rows, read, plain, logits.argmax(-1).tolist(), messages)


def examined() -> dict[str, object]:
    """What a worker finds out about a model that can be steered, once the loader has taken it."""
    from xmguard.backends.vllm import loader
    from xmguard.backends.vllm.worker import cuda_extension

    extension = cuda_extension.CudaExtension()
    extension.vllm_config = configuration("ipc://nobody-listens")
    slots = SimpleNamespace(index_to_req_id={})
    extension.model_runner = SimpleNamespace(model=None, device=torch.device("cpu"), req_states=slots)
    loaded = {
        "refusals": lambda config, layers: [],
        "written_through": lambda model, layers: ([None], []),
        "weight_of": lambda projection: torch.eye(CASE.heads * CASE.head_dim),
    }
    with patch.multiple(cuda_extension, **loaded):
        found = extension.xmguard_examine()
    loader._examine(SimpleNamespace(call=lambda method, timeout: [found]), Path("model"))
    return found


def refused(**changes: object) -> list[str]:
    """What `cuda_extension` says of a layer of another kind."""
    from vllm.v1.attention.backend import AttentionType

    from xmguard.backends.vllm.worker import cuda
    from xmguard.backends.vllm.worker.cuda_extension import layer_refusals

    kind = changes.pop("kind", "SteeredFlashImpl")
    if kind != "SteeredFlashImpl":
        return layer_refusals(SimpleNamespace())
    layer = cuda.SteeredFlashImpl.__new__(cuda.SteeredFlashImpl)
    plain = {
        "attn_type": AttentionType.DECODER,
        "alibi_slopes": None,
        "kv_sharing_target_layer_name": None,
        "vllm_flash_attn_version": 3,
    }
    vars(layer).update(plain | changes)
    return layer_refusals(layer)


def engine_refusals(**changes: object) -> list[str]:
    """What `cuda_extension` says of an engine configured otherwise."""
    from xmguard.backends.vllm.worker.cuda_extension import refusals

    parallel = {
        "pipeline_parallel_size": 1,
        "decode_context_parallel_size": 1,
        "prefill_context_parallel_size": 1,
        "enable_dbo": False,
    }
    named = {name: changes.pop(name) for name in list(changes) if name in parallel}
    model = {"use_mla": False, "is_mm_prefix_lm": False, "is_encoder_decoder": False}
    model |= {name: changes.pop(name) for name in list(changes) if name in model}
    cache = changes.pop("cache_dtype", "auto")
    plain = {"use_v2_model_runner": True, "speculative_config": None, "additional_config": {KEY: {"adapters": {}}}}
    config = SimpleNamespace(
        model_config=SimpleNamespace(**model),
        kv_transfer_config=None,
        parallel_config=SimpleNamespace(**(parallel | named)),
        cache_config=SimpleNamespace(cache_dtype=cache),
        **(plain | changes),
    )
    return refusals(config, {})
