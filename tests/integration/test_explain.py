"""`xmguard explain` from a file of JSON to its two files, with a tiny model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.command_line import xmguard
from xmguard import wire
from xmguard.guard import Guard
from xmguard.request import AnswerRequest, Decoding, Detail, OnConflict, OnError, Rebalance
from xmguard.span import Span
from xmguard.testing.tiny import CONFIG

PNG = b"\x89PNG\r\n\x1a\n"
REQUEST = AnswerRequest(
    spans=(
        Span(id="door", text="The door is red.", language="en", source="note"),
        Span(text="Kapı mavi.", language="tr"),
    ),
    question="Which colour is it?",
    rebalance=Rebalance(policy="fixed", bias={"door": 1.5}),
    decoding=Decoding(max_tokens=6),
    on_conflict=OnConflict.PLAIN,
    on_error=OnError.OPEN,
)


def explain(tmp_path: Path, model: Path, request: AnswerRequest, *options: str):
    """The command's result, and the arrays and the picture it wrote."""
    (tmp_path / "request.json").write_text(wire.to_json(request), encoding="utf-8")
    files = tmp_path / "out.npz", tmp_path / "out.png"
    result = xmguard(
        *("explain", str(tmp_path / "request.json"), "--model", str(model)),
        *("--npz", str(files[0]), "--png", str(files[1]), *options),
    )
    assert result.exit_code == 0, result.output
    with np.load(files[0], allow_pickle=False) as file:
        return result, dict(file), files[1].read_bytes()


def test_a_question_becomes_a_table_arrays_and_a_picture(tmp_path, tiny_folder, tiny_backend, registry):
    result, found, picture = explain(tmp_path, tiny_folder, REQUEST, "--layers")
    expected = Guard(tiny_backend, registry, model="tiny").explain(REQUEST)
    for name, numbers in {
        "norms_before": expected.before.norms,
        "norms_after": expected.after.norms,
        "masses_after": expected.after.masses,
        "norms_generated": expected.generated.norms,
        "toward_answer": expected.directed.logits,
    }.items():
        assert found[name].shape == (CONFIG["num_hidden_layers"], CONFIG["num_attention_heads"], 3)
        np.testing.assert_allclose(found[name], numbers, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found["epsilon"][0, 0], [0.0, 1.5, 0.0])
    assert found["segments"].tolist() == ["(rest)", "door", "s1"]
    assert found["tokens"].sum() == expected.response.usage.prompt_tokens
    assert str(found["model_hash"]) == tiny_backend.model_hash
    assert picture.startswith(PNG)
    shown = result.stdout
    assert expected.response.raw_answer[:3] in shown
    places = [shown.index(text) for text in ("verdict", "usage:", "where each", "by layer, with")]
    assert places == sorted(places)
    assert shown.splitlines()[-2:] == [f"wrote {tmp_path / 'out.npz'}", f"wrote {tmp_path / 'out.png'}"]
    assert "note:" not in result.stderr


def test_the_files_hold_no_text_of_the_request(tmp_path, tiny_folder):
    explain(tmp_path, tiny_folder, REQUEST)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        texts = " ".join(" ".join(np.atleast_1d(file[name])) for name in file.files if file[name].dtype.kind == "U")
    for private in ("colour", "red", "mavi", "note"):
        assert private not in texts


def test_layers_are_listed_on_demand_and_drawn_as_bars_only_if_the_request_asks(tmp_path, tiny_folder):
    short, *_ = explain(tmp_path, tiny_folder, REQUEST)
    assert "where each" in short.stdout
    for text in ("contribution by layer", "by layer, with"):
        assert text not in short.stdout
    barred, *_ = explain(tmp_path, tiny_folder, replace(REQUEST, detail=Detail(layers=True)))
    assert "contribution by layer" in barred.stdout
    assert "by layer, with" not in barred.stdout


def test_one_span_is_enough(tmp_path, tiny_folder):
    request = replace(REQUEST, spans=REQUEST.spans[:1], rebalance=Rebalance())
    result, found, picture = explain(tmp_path, tiny_folder, request)
    assert found["segments"].tolist() == ["(rest)", "door"]
    assert "toward_answer" in found
    np.testing.assert_array_equal(found["norms_before"], found["norms_after"])
    assert "without bias" in result.stdout
    assert picture.startswith(PNG)


def test_a_withheld_answer_says_why_nothing_points_to_it(tmp_path, tiny_folder):
    request = replace(REQUEST, spans=REQUEST.spans[:1], rebalance=Rebalance(), on_error=OnError.CLOSED)
    result, found, picture = explain(tmp_path, tiny_folder, request)
    assert not {"toward_answer", "norms_generated"} & set(found)
    why = "no answer was given because no verdict could be established"
    assert result.stderr.splitlines()[-1] == f"note: toward_answer is absent: {why}"
    assert picture.startswith(PNG)


def test_what_fails_while_writing_is_one_line(tmp_path, tiny_folder):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    result = xmguard("explain", "-", "--model", str(tiny_folder), "--npz", "/dev/full", stdin=wire.to_json(REQUEST))
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "error: --npz: /dev/full cannot be written: No space left on device"
