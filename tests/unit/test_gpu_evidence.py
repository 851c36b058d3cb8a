"""When a run on a GPU has shown that a bias is applied exactly there, and what the one who runs it is told."""

import math
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from xmguard.backends.vllm import gpu_evidence
from xmguard.backends.vllm.gpu_evidence import (
    ATTENTION,
    BATCHES,
    CASES,
    CONTEXTS,
    GpuRun,
    Parity,
    Speed,
    code_hash,
    unverified,
)
from xmguard.backends.vllm.gpu_timing import Timed, reading
from xmguard.errors import SetupIncomplete
from xmguard_research.gpu.parity import BIASES, Reading, compare

GOOD = tuple(
    Parity(case, 1, backend, "bfloat16", logprob=0.1, mass=0.01, norm=0.02, graphs=True)
    for case in CASES
    for backend in ATTENTION
)
RUN = GpuRun(
    device="a GPU",
    capability=(9, 0),
    vllm="0.32.1",
    code=code_hash(),
    parity=GOOD,
    speed=tuple(Speed(batch, context, "FLASH_ATTN", 1.0, 1.0, 1.1) for batch in BATCHES for context in CONTEXTS),
)


def standing(run, tmp_path, vllm="0.32.0", capability=(9, 0)):
    run.write(path := tmp_path / "run.json")
    assert GpuRun.read(path) == run
    return unverified(vllm, capability, path)


def test_a_run_of_this_code_that_found_no_difference_holds(tmp_path):
    assert standing(RUN, tmp_path) is None
    assert RUN.speed[0].ratio == pytest.approx(1 / 1.1)


BROKEN = {
    "the code has changed": replace(RUN, code="0"),
    "with vLLM 0.31.4, not 0.32.0": replace(RUN, vllm="0.31.4"),
    "another generation": replace(RUN, capability=(8, 0)),
    "differed from eager attention: lifted on FLASH_ATTN in bfloat16": replace(
        RUN, parity=(*GOOD, replace(GOOD[2], mass=0.03))
    ),
    "differed": replace(RUN, parity=(*GOOD, replace(GOOD[0], logprob=math.inf))),
    "did not try with captured graphs: nothing on FLASH_ATTN$": replace(
        RUN, parity=(replace(GOOD[0], graphs=False), *GOOD[1:])
    ),
    r"no speed of batch and context \[\(64, 32768\)\]": replace(RUN, speed=RUN.speed[:-1]),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_run_that_does_not_show_it_does_not_count(message, tmp_path):
    why = standing(BROKEN[message], tmp_path)
    assert why is not None
    assert re.search(message, why)


def test_every_bias_that_has_to_be_read_is():
    assert tuple(BIASES) == CASES


def test_no_run_and_a_file_that_is_none_do_not_count(tmp_path):
    assert "no run on a GPU" in unverified("0.32.0", path=tmp_path / "none.json")
    (tmp_path / "run.json").write_text('{"device": "a GPU"}')
    assert "cannot be read" in unverified("0.32.0", path=tmp_path / "run.json")


def test_what_is_committed_counts_only_for_the_code_it_was_made_with(tmp_path, monkeypatch):
    """A change to a kernel takes the proof away."""
    package = tmp_path / "xmguard"
    kernel = package / "attention" / "triton_paged_reads.py"
    kernel.parent.mkdir(parents=True)
    kernel.write_text("one")
    monkeypatch.setattr(gpu_evidence, "__file__", str(package / "backends" / "vllm" / "gpu_evidence.py"))
    before = code_hash()
    kernel.write_text("two")
    assert code_hash() != before


def test_a_difference_is_the_worst_of_all_and_no_number_is_the_worst():
    want = Reading((1, 2), (-1.0, -2.0), (((1.0, 4.0),),), (((0.5, 0.5),),))
    got = Reading((1, 2), (-1.0, -2.25), (((1.5, 4.0),),), (((0.5, 0.375),),))
    options = {"backend": "TRITON_ATTN", "dtype": "float32", "graphs": True}
    assert compare("one", 3, want, got, **options) == Parity(
        "one", 3, "TRITON_ATTN", "float32", 0.25, 0.125, 0.125, True
    )
    odd = replace(got, masses=(((math.nan, 0.5),),))
    assert compare("one", 3, want, odd, **options).mass == math.inf


def test_a_timing_takes_what_it_wrote_and_no_other_variant():
    timed = Timed("folder", "steered", "FLASH_ATTN", "bfloat16", (1, 16), (1024,))
    assert Timed.read(timed.arguments()) == timed
    with pytest.raises(ValueError, match="variant is 'eager'"):
        Timed.read(replace(timed, variant="eager").arguments())
    with pytest.raises(ValueError, match="no arguments of a timing"):
        Timed.read("{}")


def test_what_is_timed_is_biased_and_measured():
    spec = reading(1024)
    assert spec.measured
    assert not spec.bias.is_zero
    assert spec.prompt_tokens == 1024


def command(*arguments):
    import typer

    from xmguard_research.gpu.__main__ import main

    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--attention", "FLEX"], "does not know FLEX"),
        (["--batches", "1,a"], "--batches takes whole numbers"),
        (["--contexts", "0"], "--contexts takes numbers from 1 on"),
    ],
    ids=["attention", "batches", "contexts"],
)
def test_arguments_that_are_none_are_refused(arguments, message):
    done = command(*arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", " ").split())


def test_on_a_machine_without_a_gpu_it_says_so_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = command("--out", str(tmp_path / "run.json"))
    assert isinstance(done.exception, SetupIncomplete)
    assert "cannot be shown on a CPU" in str(done.exception)
    assert not (tmp_path / "run.json").exists()
