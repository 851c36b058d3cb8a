"""The benchmark on a tiny model: every variant does the work it is timed for. How long it takes is not looked at."""

import json
import os
import sys
from collections import defaultdict
from contextlib import ExitStack

import numpy as np
import pytest
import torch

from xmguard.testing import make_model
from xmguard_research.speed import memory
from xmguard_research.speed.cells import answer_cells, whole_cells
from xmguard_research.speed.guarded import alone_branches
from xmguard_research.speed.models import Models, endless
from xmguard_research.speed.prompts import answer_request, prompt_of, request_of
from xmguard_research.speed.report import read
from xmguard_research.speed.run import Settings, agreement, run, time_cell

needs_linux = pytest.mark.skipif(memory.unavailable() is not None, reason="memory is measured on Linux only")
STEPS = 6
CONTEXT = 160


@pytest.fixture(scope="module")
def models(tiny_folder, tmp_path_factory):
    return Models(tiny_folder, endless(tiny_folder, tmp_path_factory.mktemp("endless")), "float32")


def settings(folder, **changes):
    values = {"contexts": (CONTEXT,), "batches": (1, 3), "repeats": 1, "steps": STEPS, "spans": (2,)}
    return Settings(str(folder), "float32", 1, **(values | {"experiments": ("decode", "check")} | changes))


def test_decoding_variants_do_equal_work_and_equal_mathematics_gives_equal_tokens(tiny_folder, tmp_path):
    told = []
    report = run(
        settings(tiny_folder),
        tell=lambda *what: told.append(what),
        keep=lambda grown: grown.write(tmp_path / "speed.json"),
    )
    assert report.complete
    assert read(tmp_path / "speed.json") == read_again(report, tmp_path)
    assert told[-1][1:] == (8, 8)
    cells = defaultdict(dict)
    for series in report.series:
        cells[series.experiment, tuple(series.case.items())][series.variant] = series
        assert len(series.samples) == 1
        assert all(sample > 0 for sample in series.samples)
    one = cells["decode", (("context", CONTEXT), ("batch", 1))]
    three = cells["decode", (("context", CONTEXT), ("batch", 3))]
    assert set(one) == {"plain", "unbiased", "bias", "contributions", "mask", "weights"}
    assert set(three) == {"plain", "unbiased", "bias", "contributions"}
    for variants in (one, three):
        assert {series.tokens for series in variants.values()} == {STEPS + 1}
        assert {series.divisor for series in variants.values()} == {STEPS}
        compared = {name: series.agreement for name, series in variants.items() if series.agrees_with}
        assert compared == dict.fromkeys(compared, 1.0)
        assert {"unbiased", "contributions"} <= set(compared)
    assert one["unbiased"].agrees_with == one["weights"].agrees_with == "plain"
    assert one["mask"].agrees_with == "bias"


def read_again(report, folder):
    report.write(folder / "again.json")
    return read(folder / "again.json")


def test_a_bias_changes_what_is_decoded(models):
    """Else equal tokens under a mask and a bias would say nothing."""
    from xmguard_research.speed.cells import decode_cells

    (cell,) = decode_cells(models, [CONTEXT], [1], 24)
    with ExitStack() as stack:
        variants = cell.build(stack)
        said = {name: variants[name]().tokens for name in ("plain", "bias", "mask")}
    assert said["bias"] != said["plain"]
    assert said["mask"] == said["bias"]


def test_whole_generations_decode_the_same(models):
    (cell,) = whole_cells(models, [CONTEXT], STEPS)
    series = {one.variant: one for one in time_cell(cell, 1)}
    assert set(series) == {"plain", "contributions", "mask", "branches", "separate"}
    assert {one.tokens for one in series.values()} == {STEPS}
    assert [series[name].agreement for name in ("mask", "branches", "separate")] == [1.0] * 3


def test_an_answer_is_timed_against_as_many_plain_tokens(models):
    (cell,) = answer_cells(models, [CONTEXT], STEPS)
    with ExitStack() as stack:
        variants = cell.build(stack)
        assert len(variants["plain"]().tokens[0]) == STEPS
        assert variants["answer"]().seconds > 0


def test_a_model_that_would_end_does_not(tmp_path, registry):
    """The same weights with an end token that is said at once, and without."""
    from transformers import AutoModelForCausalLM

    from xmguard_research.speed.plain import whole

    folder = make_model(tmp_path / "ends")
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt = list(range(40))
    first = int(model(torch.tensor([prompt])).logits[0, -1].argmax())
    for file in ("config.json", "generation_config.json"):
        declared = json.loads((folder / file).read_text()) | {"eos_token_id": first}
        (folder / file).write_text(json.dumps(declared))
    (tmp_path / "endless").mkdir()
    models = Models(folder, endless(folder, tmp_path / "endless"), "float32")
    assert models.guard.backend.loaded.end_ids >= {first}
    assert models.backend.loaded.end_ids == frozenset()
    assert models.backend.model_hash == models.guard.backend.model_hash
    assert len(whole(models.sdpa, prompt, tokens=5).tokens[0]) == 5


@pytest.mark.parametrize(("tokens", "spans"), [(CONTEXT, 2), (331, 3)])
def test_a_prompt_has_exactly_the_tokens_asked_for(models, tokens, spans):
    prompt = prompt_of(models.backend, tokens, spans=spans)
    assert len(prompt.context_ids) == prompt.span_map.context_tokens == tokens
    lengths = [len(span) for span in prompt.span_map]
    assert len(lengths) == spans
    assert max(lengths) - min(lengths) < spans
    assert prompt.span_map.spans[-1].stop == tokens
    assert [len(branch.bias.epsilon) for branch in alone_branches(prompt)] == [0] + [spans - 1] * spans


def test_a_prompt_too_short_for_its_spans_is_refused(models):
    with pytest.raises(ValueError, match="cannot hold 2 spans"):
        prompt_of(models.backend, 20)


def test_spans_fill_their_length_and_answer_alike_or_not(models):
    backend = models.backend
    same = request_of(backend, spans=3, span_tokens=200, same_answer=True)
    other = request_of(backend, spans=3, span_tokens=200, same_answer=False)
    assert len({span.text for span in same.spans}) == 1
    assert len({span.text for span in other.spans}) == 3
    assert all(100 < len(span.text) <= 200 for span in same.spans)  # one token a character here
    assert answer_request(backend, context_tokens=400, max_tokens=9).decoding.max_tokens == 9


def test_agreement_counts_positions_of_shared_sequences():
    assert agreement(((1, 2), (3, 4)), ((1, 9),)) == 0.5
    with pytest.raises(ValueError, match="shorter"):
        agreement(((1, 2),), ((1,),))


def job(models, variant):
    first, prompt = prompt_of(models.backend, 64), prompt_of(models.backend, CONTEXT)
    return memory.Job(variant, str(models.endless), "float32", torch.get_num_threads(), STEPS, first, prompt)


@needs_linux
@pytest.mark.parametrize("variant", memory.VARIANTS)
def test_peak_memory_is_at_least_what_the_loaded_model_takes(models, variant):
    peak = memory.run(job(models, variant))
    assert 2**20 < peak.loaded <= peak.peak


@needs_linux
def test_memory_is_measured_in_a_process_of_its_own(models, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    ballast = np.ones(2**27)  # 1 GiB that must not be counted
    peak = memory.measure(job(models, "contributions"))
    assert 2**20 < peak.loaded <= peak.peak < ballast.nbytes


def test_a_memory_job_that_fails_says_why(models, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    with pytest.raises(RuntimeError, match=r"memory of 'rhyme' failed[\s\S]*KeyError: 'rhyme'"):
        memory.measure(job(models, "rhyme"))
