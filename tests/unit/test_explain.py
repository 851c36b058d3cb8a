"""What `xmguard explain` makes of an explanation, from one made by hand."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.unit.command_line import one_error_line, xmguard
from xmguard import wire
from xmguard.cli import explain as explain_command
from xmguard.cli import heatmap, summary
from xmguard.cli.arrays import REST, arrays, npz
from xmguard.context import SpanMap, SpanTokens
from xmguard.explanation import Explanation
from xmguard.measurement import DirectedContribution, Measurement
from xmguard.request import AnswerRequest, Scope
from xmguard.response import AnswerResponse, FinishReason, Rebalancing, SpanReport, Stamp, Usage
from xmguard.span import Span

LAYERS, HEADS = 4, 3
REQUEST = wire.to_json(AnswerRequest(spans=(Span(text="a"), Span(text="b")), question="q"))


def cube(seed: int, segments: int, *, signed: bool = False):
    values = np.random.default_rng(seed).uniform(-1.0 if signed else 0.0, 1.0, (LAYERS, HEADS, segments))
    return tuple(tuple(tuple(head) for head in layer) for layer in values.tolist())


def explanation(*ids: str, applied: bool = True, scope: Scope = Scope.READERS) -> Explanation:
    """Ten tokens a span, and as many around them."""
    starts = range(5, 5 + 10 * len(ids), 10)
    spans = SpanMap(tuple(SpanTokens(name, start, start + 10) for name, start in zip(ids, starts, strict=True)), 10_000)
    segments = len(ids) + 1

    def measured(seed: int, *, biased: bool) -> Measurement:
        epsilons = cube(seed + 2, segments) if biased else ()
        return Measurement(spans, cube(seed, segments), cube(seed + 1, segments), 6, epsilons)

    before = measured(0, biased=False)
    on_prompt = applied and scope is not Scope.GENERATED
    response = AnswerResponse(
        answer="secret answer",
        raw_answer="secret answer",
        spans=tuple(SpanReport(name, "text", "en", 10) for name in ids),
        rebalancing=Rebalancing(applied, "fixed", "", scope),
        usage=Usage(prompt_tokens=10 * len(ids) + 10),
        finish_reason=FinishReason.STOP,
        served_by=Stamp("a-model", "sha256:12", "transformers", "float32", "", "0.1.0"),
    )
    return Explanation(
        response,
        before,
        measured(10, biased=True) if on_prompt else before,
        measured(20, biased=applied),
        DirectedContribution(spans, cube(30, segments, signed=True), 7),
    )


def withheld(made: Explanation) -> Explanation:
    response = replace(made.response, raw_answer="", finish_reason=FinishReason.CLOSED)
    return replace(made, response=response, generated=None, directed=None)


def shown(table) -> list[str]:
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def panels(figure):
    """Per part of the figure: its heading and the panels, without the colour bar."""
    return [(part.get_suptitle(), [axes for axes in part.axes if axes.get_title()]) for part in figure.subfigs]


# -- arrays ----------------------------------------------------------------------------------------------------------


def test_the_file_holds_every_number_and_loads_without_pickle():
    made = explanation("s1", "s2")
    with np.load(BytesIO(npz(made)), allow_pickle=False) as file:
        found = dict(file)
    expected = {
        "norms_before": made.before.norms,
        "norms_after": made.after.norms,
        "masses_before": made.before.masses,
        "masses_after": made.after.masses,
        "epsilon": made.after.epsilons,
        "norms_generated": made.generated.norms,
        "masses_generated": made.generated.masses,
        "epsilon_generated": made.generated.epsilons,
        "toward_answer": made.directed.logits,
    }
    for name, numbers in expected.items():
        assert found[name].dtype == np.float64
        np.testing.assert_array_equal(found.pop(name), numbers)
    assert found.pop("segments").tolist() == [REST, "s1", "s2"]
    assert found.pop("tokens").tolist() == [10, 10, 10]
    assert {name: str(value) for name, value in found.items()} == {
        "model": "a-model",
        "model_hash": "sha256:12",
        "dtype": "float32",
        "policy": "fixed",
        "xmguard_version": "0.1.0",
    }


def test_what_was_not_measured_is_absent_and_never_zero():
    unread = replace(explanation("s1"), generated=Measurement(explanation("s1").before.span_map, (), (), 0))
    assert not [name for name in arrays(unread) if name.endswith("_generated")]
    found = arrays(withheld(explanation("s1")))
    assert not {"toward_answer", "norms_generated", "masses_generated", "epsilon_generated"} & set(found)


def test_without_a_bias_epsilon_is_zero_in_the_shape_of_the_others():
    made = explanation("s1", "s2", applied=False)
    np.testing.assert_array_equal(arrays(made)["epsilon"], np.zeros((LAYERS, HEADS, 3)))


def test_every_array_is_documented():
    documented = xmguard("explain", "--help").stdout, (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    for text in documented:
        assert [name for name in arrays(explanation("s1")) if name not in text] == []


# -- summary ---------------------------------------------------------------------------------------------------------


def test_the_summary_names_the_largest_layers_and_heads_and_the_sign():
    flat = tuple(tuple((0.5, 0.1) for _ in range(HEADS)) for _ in range(LAYERS))
    norms = (*flat[:2], ((0.5, 0.1), (0.5, 0.1), (0.5, 9.1)), flat[3])
    logits = (*[((0.0, 0.0),) * HEADS] * 3, ((0.0, -2.5), (0.0, 0.5), (0.0, 0.0)))
    made = explanation("s1", applied=False)
    made = replace(
        made,
        before=replace(made.before, norms=norms),
        directed=DirectedContribution(made.before.span_map, logits, 7),
    )
    lines = shown(summary.where_table(made))
    assert "without bias" in lines[0]
    row = next(line for line in lines if line.startswith("s1"))
    assert row.split() == ["s1", "L2", "3.100", "L2", "h2", "9.100", "-2.000", "L3", "-2.000"]
    assert any(line.startswith("en, 10 tok") for line in lines)


def test_the_summary_of_four_sources_fits_a_screen():
    lines = shown(summary.where_table(explanation("s1", "a-long-identifier-from-the-archive", "s3", "s4")))
    assert len(lines) <= 20
    assert max(map(len, lines)) <= 80
    assert [line for line in lines[1:] if "…" in line and not line.startswith("a-long")] == []


def test_contributions_are_those_under_the_bias_where_one_was_applied():
    steered = explanation("s1", "s2")
    assert steered.biased is steered.after
    answer = explanation("s1", "s2", scope=Scope.GENERATED)
    assert answer.biased is answer.generated
    assert explanation("s1", "s2", applied=False).biased is None
    largest = max(head[1] for layer in answer.generated.norms for head in layer)
    text = "\n".join(shown(summary.where_table(answer)))
    assert "the answer's tokens" in text
    assert f"{largest:.3f}" in text


def test_every_layer_is_listed_and_a_withheld_answer_has_no_direction():
    made = explanation("s1", "s2", applied=False)
    (table,) = summary.layers_tables(made)
    lines = shown(table)
    mean = sum(head[1] for head in made.before.norms[3]) / HEADS
    toward = sum(head[1] for head in made.directed.logits[3])
    assert f"{mean:.3f} {toward:+.3f}" in next(line for line in lines if line.startswith("L3"))
    for table in (summary.where_table(withheld(made)), *summary.layers_tables(withheld(made))):
        assert "toward" not in "\n".join(shown(table))


def test_the_layers_of_many_sources_take_several_tables_and_cut_no_number():
    ids = [f"identifier-number-{number}" for number in range(9)]
    tables = [shown(table) for table in summary.layers_tables(explanation(*ids))]
    assert len(tables) == 3
    numbers = [cell for lines in tables for line in lines if line.startswith("L") for cell in line.split()[1:]]
    assert len(numbers) == LAYERS * 10 * 2
    assert "…" not in "".join(numbers)


# -- picture ---------------------------------------------------------------------------------------------------------


def test_the_picture_has_a_panel_per_span_and_quantity_and_shows_the_numbers_as_they_are():
    made = explanation("s1", "s2")
    drawn = panels(heatmap.draw(made))
    assert [heading for heading, _ in drawn] == [
        "contribution without bias",
        "contribution with bias, policy fixed",
        "toward the answer",
    ]
    for (_, axes), numbers in zip(drawn, (made.before.norms, made.after.norms, made.directed.logits), strict=True):
        assert [panel.get_title() for panel in axes] == ["s1\nen, 10 tokens", "s2\nen, 10 tokens"]
        for span, panel in enumerate(axes, start=1):
            np.testing.assert_array_equal(panel.images[0].get_array(), np.array(numbers)[:, :, span])


def test_spans_share_a_scale_and_zero_is_the_middle_of_a_signed_one():
    made = explanation("s1", "s2")
    limits = [{panel.images[0].get_clim() for panel in axes} for _, axes in panels(heatmap.draw(made))]
    largest = max(np.max(np.array(each.norms)[:, :, 1:]) for each in (made.before, made.after))
    extreme = np.abs(np.array(made.directed.logits)[:, :, 1:]).max()
    assert limits == [{(0.0, largest)}, {(0.0, largest)}, {(-extreme, extreme)}]


def test_no_bias_and_no_answer_leave_one_quantity():
    made = withheld(explanation("s1", "s2", applied=False))
    assert [heading for heading, _ in panels(heatmap.draw(made))] == ["contribution without bias"]


@pytest.mark.parametrize(("spans", "answered"), [(2, True), (6, True), (7, False)])
def test_no_text_of_the_picture_overlaps(spans: int, answered: bool):
    made = explanation(
        *(f"WWWWidentifier-{number}-of-the-archive-{'W' * 90}" for number in range(spans)), applied=spans < 6
    )
    figure = heatmap.draw(made if answered else withheld(made))
    figure.draw_without_rendering()
    assert figure.bbox.width == 1500
    texts = [panel.title for _, row in panels(figure) for panel in row]
    texts += [text for part in figure.subfigs for text in (part._suptitle, part._supxlabel, part._supylabel)]
    texts += [axes.yaxis.label for part in figure.subfigs for axes in part.axes if not axes.get_title()]
    texts += [
        label
        for part in figure.subfigs
        for axes in part.axes
        for axis, limits, place in ((axes.xaxis, axes.get_xlim(), 0), (axes.yaxis, axes.get_ylim(), 1))
        for label in axis.get_ticklabels()
        if min(limits) <= label.get_position()[place] <= max(limits)
    ]
    boxes = [text.get_window_extent() for text in texts]
    assert len({text.get_text() for text in texts}) >= spans + 3
    for index, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert [texts[index].get_text() for other in boxes[index + 1 :] if box.overlaps(other)] == []


def test_a_picture_is_named_by_its_modality():
    made = explanation("photo", "caption")
    photo, caption = made.response.spans
    spans = (replace(photo, modality="image", language="und"), caption)
    made = replace(made, response=replace(made.response, spans=spans))
    titles = [axes.get_title() for _, line in panels(heatmap.draw(made)) for axes in line]
    assert titles[:2] == ["photo\nimage, 10 tokens", "caption\nen, 10 tokens"]
    assert any("image, 10 tok" in line for line in shown(summary.where_table(made)))


def test_an_id_is_drawn_as_it_is_or_by_its_number():
    drawn = panels(heatmap.draw(explanation("$\\frac$ costs", "来源")))
    assert [panel.get_title().split("\n")[0] for panel in drawn[0][1]] == ["$\\frac$ costs", "#2"]
    assert heatmap.png(explanation("$\\frac$ costs", "来源")).startswith(b"\x89PNG")


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch):
    """A command that gets as far as loading a model has failed."""

    def load_guard(*arguments: object, **settings: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(explain_command, "load_guard", load_guard)


@pytest.mark.usefixtures("no_model")
def test_what_cannot_be_written_is_said_before_the_model_is_loaded(tmp_path: Path):
    kept = tmp_path / "kept.npz"
    kept.write_bytes(b"old")
    (tmp_path / "file").touch()
    for flag in ("--npz", "--png"):
        for path, why in (
            (tmp_path / "none" / "out", "No such file or directory"),
            (tmp_path, "Is a directory"),
            (tmp_path / "file" / "out", "Not a directory"),
        ):
            line = one_error_line(xmguard("explain", "-", flag, str(path), stdin=REQUEST))
            assert line.startswith(f"error: {flag}: {path} cannot be written: {why}")
    one_error_line(xmguard("explain", "-", "--npz", str(tmp_path / "new"), "--png", str(tmp_path), stdin=REQUEST))
    arguments = ("explain", "-", "--npz", str(kept), "--png", str(tmp_path / "other" / ".." / "kept.npz"))
    (tmp_path / "other").mkdir()
    assert "is the file of --npz" in one_error_line(xmguard(*arguments, stdin=REQUEST))
    assert kept.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "kept.npz", "other"]


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("text", ["{", "[]", '{"nope": 1}'])
def test_a_malformed_request_is_said_before_the_model_is_loaded(text: str):
    one_error_line(xmguard("explain", "-", stdin=text))


@pytest.mark.usefixtures("no_model")
def test_a_missing_matplotlib_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "xmguard.cli.heatmap")
    monkeypatch.delattr("xmguard.cli.heatmap")
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.setitem(sys.modules, name, None)
    line = one_error_line(xmguard("explain", "-", "--png", str(tmp_path / "out.png"), stdin=REQUEST))
    assert 'run: pip install "xmguard[research]"' in line
    assert list(tmp_path.iterdir()) == []
