"""The benchmark's arithmetic and what it shows. Nothing here is timed."""

import gc
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from xmguard_research.speed.arithmetic import exponent, paired_ratio, slope, slope_ratio, spread
from xmguard_research.speed.findings import LABELS, TARGETS, TITLES, findings
from xmguard_research.speed.report import Report, Series, describe_machine, read
from xmguard_research.speed.show import MARK, markdown, replaced, table
from xmguard_research.speed.timing import WARM_UP, Timed, interleave

SETTINGS = {"model": "tiny", "dtype": "float32", "repeats": 3}


def decode(variant, context, *samples, batch=1, **more):
    return Series("decode", {"context": context, "batch": batch}, variant, samples, 32, **more)


def check(variant, spans, *samples):
    return Series("check", {"kind": "equal answers", "spans": spans, "span_tokens": 64}, variant, samples)


def report(*series, **more):
    return Report(describe_machine(threads=1), SETTINGS, series, **({"complete": True} | more))


def shown(run):
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table(run))
    return capture.get()


def line(text, *parts):
    (found,) = (row for row in text.splitlines() if all(part in row for part in parts))
    return found


def test_a_disturbance_of_a_whole_round_leaves_the_ratio_alone():
    base = [1.0, 5.0, 1.1, 0.9]
    ratio = paired_ratio([1.25 * sample for sample in base], base)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((1.25, 1.25, 1.25))


def test_the_interval_of_a_ratio_holds_its_median_and_widens_with_noise():
    base = [1.0] * 7
    calm = paired_ratio([1.09, 1.1, 1.1, 1.1, 1.1, 1.11, 1.1], base)
    loud = paired_ratio([0.8, 1.1, 1.4, 0.9, 1.1, 1.3, 1.2], base)
    assert calm.value == 1.1
    assert calm.low <= 1.1 <= calm.high
    assert loud.high - loud.low > calm.high - calm.low


@pytest.mark.parametrize(("samples", "base"), [([1.0, 2.0], [1.0]), ([], [])])
def test_ratios_of_different_rounds_are_refused(samples, base):
    with pytest.raises(ValueError, match="round by round"):
        paired_ratio(samples, base)


def test_median_and_quartiles():
    measured = spread([4.0, 1.0, 3.0, 2.0, 5.0])
    assert (measured.first_quartile, measured.median, measured.third_quartile) == (2.0, 3.0, 4.0)


def test_a_slope_is_of_the_line_through_the_points():
    assert slope([1, 2, 4], np.array([5.0, 7.0, 11.0])) == pytest.approx(2.0)
    assert slope([1, 2, 4], np.array([[5.0, 7.0, 11.0], [0.0, 0.0, 0.0]])) == pytest.approx([2.0, 0.0])
    with pytest.raises(ValueError, match="two different points"):
        slope([3, 3], np.array([1.0, 2.0]))


def test_the_ratio_of_slopes_does_not_see_what_is_constant():
    contexts = [256, 1024, 4096]
    plain = [[1.0 + 0.001 * context] * 3 for context in contexts]
    ours = [[9.0 + 0.0015 * context] * 3 for context in contexts]
    ratio = slope_ratio(contexts, ours, plain)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((1.5, 1.5, 1.5))


def test_growth_is_not_compared_with_growth_that_may_be_noise():
    flat = [[1.0, 1.2, 0.8], [0.8, 1.0, 1.2]]
    assert slope_ratio([256, 1024], [[1.0] * 3, [2.0] * 3], flat) is None
    rows = [decode("plain", context, *samples) for context, samples in zip((256, 1024), flat, strict=True)]
    rows += [decode("bias", context, *samples) for context, samples in zip((256, 1024), flat, strict=True)]
    (growth,) = (finding for finding in findings(report(*rows)) if finding.experiment == "slope")
    assert "lost in noise" in growth.note
    assert "| xmguard, bias | batch of 1: lost in noise |" in markdown(report(*rows))


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_exponent_of_a_power_is_found(power):
    assert exponent([2, 8, 32], [[0.3 * spans**power] * 3 for spans in (2, 8, 32)]).value == pytest.approx(power)


def test_variants_take_turns_the_order_rotates_and_the_warm_up_is_dropped():
    called, collecting = [], []

    def variant(name):
        def call():
            called.append(name)
            collecting.append(gc.isenabled())
            return Timed(float(len(called)))

        return call

    ticks = []
    taken = interleave({name: variant(name) for name in "abc"}, repeats=3, tick=lambda: ticks.append(1))
    assert WARM_UP == 1
    assert called == list("abc" + "bca" + "cab" + "abc")
    assert [sample.seconds for sample in taken["a"]] == [6.0, 8.0, 10.0]
    assert len(ticks) == 4
    assert collecting == [False] * 12
    assert gc.isenabled()


def test_garbage_is_collected_again_after_a_variant_that_failed():
    def failing():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        interleave({"a": failing}, repeats=1)
    assert gc.isenabled()


def test_a_report_comes_back_from_json_as_it_was(tmp_path):
    run = report(
        decode("plain", 256, 0.1, 1 / 3),
        decode("unbiased", 256, 0.2, 0.25, tokens=33, agrees_with="plain", agreement=0.5),
        check("plain", 2, 1e-7),
        complete=False,
        notes=("memory was not measured",),
    )
    run.write(tmp_path / "new" / "speed.json")
    assert read(tmp_path / "new" / "speed.json") == run
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "speed.json"]


def test_an_empty_report_is_json_too(tmp_path):
    run = report()  # the machine it describes is as busy, and the time as late, as when it is called
    run.write(tmp_path / "speed.json")
    assert read(tmp_path / "speed.json") == run


def test_a_missed_target_is_shown_as_a_no_and_a_met_one_as_a_yes():
    run = report(
        decode("plain", 256, 1.0, 1.0, 1.0), decode("bias", 256, 1.02, 1.02, 1.02),
        decode("plain", 1024, 1.0, 1.0, 1.0), decode("bias", 1024, 1.031, 1.031, 1.031),
    )  # fmt: skip
    text = shown(run)
    assert " yes " in line(text, "xmguard, bias", "256 tokens")
    assert " no " in line(text, "xmguard, bias", "1024 tokens")
    assert " 1.031 " in line(text, "xmguard, bias", "1024 tokens")
    assert "| 1.03 | no at 1024 tokens x 1 |" in markdown(run)


def test_a_ratio_that_only_rounds_to_its_target_misses_it():
    run = report(decode("plain", 256, 1.0), decode("contributions", 256, 1.0500001))
    assert [finding.met for finding in findings(run)] == [None, False]


def test_a_variant_missed_everywhere_is_a_plain_no_in_the_readme():
    run = report(decode("plain", 256, 1.0), decode("contributions", 256, 2.0))
    assert "| xmguard, bias and contributions | 256 tokens x 1: 2.000 | 1.05 | no |" in markdown(run)


def test_only_a_check_of_two_spans_has_a_target():
    run = report(check("plain", 2, 1.0), check("check", 2, 1.4), check("plain", 8, 1.0), check("check", 8, 9.0))
    met = {finding.case: finding.met for finding in findings(run) if finding.label == "Check"}
    assert met == {
        "equal answers, 2 spans of 64 tokens": True,
        "equal answers, 8 spans of 64 tokens": None,
    }
    assert "| Check | equal answers, 2 spans of 64 tokens: 1.400 | 1.5 | yes |" in markdown(run)
    assert "| Check | equal answers, 8 spans of 64 tokens: 9.000 |  |  |" in markdown(run)


def test_growth_is_found_per_batch_and_needs_two_contexts():
    rows = [decode("plain", context, 0.001 * context, batch=8) for context in (256, 1024)]
    rows += [decode("contributions", context, 0.002 * context, batch=8) for context in (256, 1024)]
    rows += [decode("plain", 256, 1.0), decode("contributions", 256, 1.0)]
    (growth,) = (finding for finding in findings(report(*rows)) if finding.experiment == "slope")
    assert growth.case == "batch of 8"
    assert growth.ratio.value == pytest.approx(2.0)


def test_tokens_that_differ_are_said():
    run = report(decode("plain", 256, 1.0), decode("unbiased", 256, 1.0, tokens=33, agrees_with="plain", agreement=0.5))
    assert "50% of the tokens" in line(shown(run), "no bias")
    assert "same tokens" not in shown(run)


def test_an_interrupted_run_is_called_incomplete_and_shows_what_it_has():
    run = report(decode("plain", 256, 1.0), decode("bias", 1024, 1.0), complete=False)
    assert markdown(run).startswith("INCOMPLETE")
    assert [finding.case for finding in findings(run)] == ["256 tokens x 1"]


def test_the_block_of_a_document_is_replaced_and_nothing_else():
    run = report(decode("plain", 256, 1.0), decode("bias", 256, 1.0))
    document = f"before\n\n{MARK}\nold\n{MARK}\n\nafter {{}} \\1\n"
    once = replaced(document, run)
    assert once == f"before\n\n{MARK}\n{markdown(run)}\n{MARK}\n\nafter {{}} \\1\n"
    assert replaced(once, run) == once
    assert replaced(once, replace(run, complete=False)) != once


@pytest.mark.parametrize("document", ["none", f"{MARK}\n", f"{MARK}\na\n{MARK}\n{MARK}\nb\n{MARK}\n"])
def test_a_document_without_exactly_one_block_is_refused(document):
    with pytest.raises(ValueError, match="exactly one block"):
        replaced(document, report())


def test_every_target_and_label_belongs_to_a_table():
    assert set(TARGETS) <= set(LABELS)
    assert {experiment for experiment, _ in LABELS} == set(TITLES) - {"slope", "exponent"}
