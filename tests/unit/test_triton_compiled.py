"""The Triton kernels of segmented attention, compiled: for GPUs that are not here, and on one that is."""

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("triton", reason="there is no triton for this platform")

from tests.unit import paged_case
from tests.unit.paged_case import PagedCase, Request, reads
from tests.unit.segmented_case import TOLERANCE, Case, assert_equal, flex, prepare
from xmguard.attention import triton_paged, triton_segments
from xmguard.attention.triton_segments import segmented_attention


class Launches:
    """Stands where a kernel is launched and keeps what it is launched with."""

    def __init__(self):
        self.calls = []

    def __getitem__(self, grid):
        return lambda *args, **options: self.calls.append((args, options))


def compile_for(kernel, args, options, capability):
    """What a launch with these arguments would compile, without a GPU."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    types = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.int32: "i32", torch.int64: "i64", torch.uint8: "u8"}
    constants = {name: options[name] for name in options if name in kernel.arg_names}
    signature = dict.fromkeys(kernel.arg_names, "constexpr")
    for name, value in zip(kernel.arg_names, args, strict=False):
        if torch.is_tensor(value):
            signature[name] = f"*{types[value.dtype]}"
        elif value is None or value == 1:  # what a launch specialises on
            constants[name] = value
        else:
            signature[name] = "fp32" if value.__class__ is float else "i32"
    rest = {name: options[name] for name in options if name not in kernel.arg_names}
    return triton.compile(ASTSource(kernel, signature, constants), GPUTarget("cuda", capability, 32), rest)


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="this process interprets kernels")
@pytest.mark.parametrize(
    ("capability", "dtype"), [(80, torch.bfloat16), (90, torch.bfloat16), (90, torch.float32)], ids=str
)
def test_the_kernels_compile_for_gpus_that_are_not_here(monkeypatch, tmp_path, capability, dtype):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    launches = SimpleNamespace(chunk_kernel=Launches(), merge_kernel=Launches())
    case = Case(dtype=dtype, head_dim=128, rows=2, window=9, soft_cap=2.0, sinks=True)
    inputs = prepare(case)
    with monkeypatch.context() as patched:
        for name, launch in vars(launches).items():
            patched.setattr(triton_segments, name, launch)
        segmented_attention(inputs.query, inputs.blocks, inputs.plan, epsilon=case.epsilon(), **inputs.options)
    assert len(launches.chunk_kernel.calls) == 2
    assert len(launches.merge_kernel.calls) == 1
    for name, launch in vars(launches).items():
        compiled = compile_for(getattr(triton_segments, name), *launch.calls[0], capability)
        assert compiled.asm["cubin"]
        assert compiled.metadata.shared <= 99 * 1024  # what every GPU since Ampere grants one program


PAGED = PagedCase(
    requests=(
        Request(29, reading=reads((2, 9), (9, 12), epsilon=(2.0, -1.0), reader=20)),
        Request(33, 11, reads((3, 8), (8, 21), epsilon=(1.5, -2.0), reader=24)),
    ),
    page_keys=16,
    window=19,
    soft_cap=2.0,
    sinks=True,
    dtype=torch.bfloat16,
    head_dim=64,
)


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="this process interprets kernels")
def test_the_paged_kernels_compile_for_a_gpu_that_is_not_here(monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    launches = SimpleNamespace(split_kernel=Launches(), join_kernel=Launches(), tile_kernel=Launches())
    inputs = paged_case.prepare(PAGED)
    with monkeypatch.context() as patched:
        for name, launch in vars(launches).items():
            patched.setattr(triton_paged, name, launch)
        triton_paged.paged_attention(*inputs.arguments, **inputs.options)
    for name, launch in vars(launches).items():
        compiled = compile_for(getattr(triton_paged, name), *launch.calls[0], 90)
        assert compiled.asm["cubin"]
        assert compiled.metadata.shared <= 99 * 1024


needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1",
    reason="needs a CUDA device, and kernels that are compiled",
)
REALISTIC = {
    "decoding": Case(
        spans=((37, 2049), (2049, 2050), (2100, 5003)),
        context=8000,
        own=300,
        padding=(0, 7, 120, 299),
        rows=1,
        kv_heads=8,
        groups=4,
        head_dim=128,
        chunk=256,
    ),
    "tail of a prefill": Case(
        spans=((37, 2049), (2100, 5003)),
        context=6000,
        own=100,
        padding=(0, 30),
        rows=70,
        kv_heads=2,
        groups=7,
        head_dim=128,
        window=4000,
        chunk=2048,
    ),
}


@needs_gpu
@pytest.mark.parametrize("name", REALISTIC)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_on_a_gpu_it_matches_the_reference(name, dtype):
    case = replace(REALISTIC[name], dtype=dtype, sinks=True, soft_cap=30.0)
    inputs = prepare(case, "cuda")
    epsilon = case.epsilon().cuda()
    assert_equal(
        segmented_attention(inputs.query, inputs.blocks, inputs.plan, epsilon=epsilon, **inputs.options),
        inputs,
        epsilon,
    )


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_on_a_gpu_a_paged_batch_matches_the_reference(dtype):
    decoded = reads((37, 2049), (2049, 2050), (2100, 5003), epsilon=(2.0, -1.0, 0.5), reader=5100)
    case = replace(
        PAGED,
        requests=(Request(8000, reading=decoded), Request(700), Request(5200, 99, decoded), *PAGED.requests),
        window=4000,
        splits=32,
        chunk=256,
        kv_heads=8,
        groups=4,
        head_dim=128,
        dtype=dtype,
    )
    paged_case.assert_equal(paged_case.run(case, "cuda"), paged_case.prepare(case))


@needs_gpu
def test_on_a_gpu_a_captured_paged_batch_follows_its_tables():
    case = replace(PAGED, requests=PAGED.requests[:1])
    inputs = paged_case.prepare(case, "cuda")
    tables = inputs.arguments[5]
    triton_paged.paged_attention(*inputs.arguments, **inputs.options)  # compiles
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        triton_paged.paged_attention(*inputs.arguments, **inputs.options)
    other = replace(case.requests[0].reading, epsilon=(-1.0, 3.0))
    tables.write({1: other})
    graph.replay()
    wanted = paged_case.prepare(replace(case, requests=(replace(case.requests[0], reading=other),)))
    paged_case.assert_equal((inputs.output.cpu(), tables.sums.cpu()), wanted)


@needs_gpu
@pytest.mark.filterwarnings("ignore")  # of the compiler that makes the oracle
@pytest.mark.parametrize("name", REALISTIC)
def test_on_a_gpu_flex_attention_agrees(name):
    from torch.nn.attention.flex_attention import flex_attention

    case = replace(REALISTIC[name], dtype=torch.bfloat16)
    inputs = prepare(case, "cuda")
    epsilon = case.epsilon().cuda()
    got = segmented_attention(inputs.query, inputs.blocks, inputs.plan, epsilon=epsilon, **inputs.options)
    want = flex(inputs, epsilon, torch.compile(flex_attention))
    torch.testing.assert_close(got.output, want, **TOLERANCE[torch.bfloat16])


@needs_gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_on_a_gpu_the_host_waits_for_nothing():
    case = replace(REALISTIC["decoding"], dtype=torch.bfloat16)
    inputs = prepare(case, "cuda")
    epsilon = case.epsilon().cuda()
    segmented_attention(inputs.query, inputs.blocks, inputs.plan, epsilon=epsilon, **inputs.options)  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        segmented_attention(inputs.query, inputs.blocks, inputs.plan, epsilon=epsilon, **inputs.options)
    finally:
        torch.cuda.set_sync_debug_mode("default")
