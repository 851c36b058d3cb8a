"""Models that read pictures, against their stock forward pass under eager attention: steered and measured exactly."""

from types import SimpleNamespace

import pytest
import torch

from tests.integration.families import PICTURE_STEPS as STEPS
from tests.integration.parity import BIASES, RULES, assert_parity, tokens_that_a_bias_changes
from tests.integration.pictures import PictureEager, context, registry_with_sketches, sketch
from xmguard.backends.transformers import prefill
from xmguard.backends.transformers.context_inputs import context_inputs
from xmguard.backends.transformers.families import PICTURES
from xmguard.backends.transformers.loader import load
from xmguard.backends.transformers.session import TransformersSession
from xmguard.bias import AttentionBias
from xmguard.deadline import Stop
from xmguard.errors import Cancelled, InvalidRequest
from xmguard.request import Prompt
from xmguard.testing.tiny_pictures import PICTURE_FAMILIES, WINDOW, make_picture_model

BETWEEN = context(sketch(1), "The sign says OPEN until nine.", sketch(2, 40, 20))
OTHERS = {
    "text, picture": context("The sign says OPEN until nine.", sketch(1)),
    "picture, text": context(sketch(3, 20, 32), "A sign: CLOSED."),
    "text": context("The sign says OPEN until nine.", "A sign: CLOSED."),
}
READS_ITSELF = {"Gemma3"}
"""Families whose pictures' tokens read each other both ways."""


@pytest.fixture(scope="module", params=PICTURE_FAMILIES)
def family(request, tmp_path_factory):
    folder = make_picture_model(tmp_path_factory.mktemp("model"), request.param)
    backend = load(folder, registry=registry_with_sketches())
    prompt = backend.encode(BETWEEN, Prompt.STANDARD)
    return SimpleNamespace(
        name=request.param,
        folder=folder,
        backend=backend,
        prompt=prompt,
        eager=PictureEager(folder, backend, BETWEEN, prompt),
    )


@pytest.mark.parametrize(
    "kind", ["lift the second", "remove the first", "generated rows only", "target after a removal", "constant by head"]
)
def test_a_family_is_read_and_steered_exactly(family, kind):
    assert_parity(family.backend, family.eager, (BIASES | RULES)[kind], family.prompt, STEPS)


@pytest.mark.parametrize("order", OTHERS)
def test_texts_and_pictures_come_in_any_order(family, order):
    prompt = family.backend.encode(OTHERS[order], Prompt.STANDARD)
    eager = PictureEager(family.folder, family.backend, OTHERS[order], prompt)
    assert_parity(family.backend, eager, BIASES["lift the second"], prompt, STEPS)


@pytest.mark.parametrize("kind", ["lift the first, every later row", "constant by head, every later row"])
def test_a_context_is_steered_inside_too_or_that_is_refused(family, kind):
    bias = (BIASES | RULES)[kind]
    if family.name in READS_ITSELF:
        with pytest.raises(InvalidRequest, match=r"rebalance\.scope: ALL steers a context that is read causally"):
            assert_parity(family.backend, family.eager, bias, family.prompt, STEPS)
    else:
        assert_parity(family.backend, family.eager, bias, family.prompt, STEPS)


def test_windows_end_inside_the_spans(family):
    length = len(family.prompt.context_ids) + len(family.prompt.joint_tail)
    first_seen = [length - WINDOW, length + STEPS - WINDOW]
    spans = family.prompt.span_map.spans
    windowed = getattr(family.backend.loaded.model.config.get_text_config(), "sliding_window", None)
    assert windowed is None or any(spans[0].start < position < spans[-1].stop for position in first_seen), first_seen


def test_a_familys_reference_can_fail(family):
    assert tokens_that_a_bias_changes(family.backend, family.eager, family.prompt, STEPS) >= STEPS // 4


def test_an_engine_that_drops_the_bias_fails(family, monkeypatch):
    monkeypatch.setattr(TransformersSession, "_steering", lambda self, branches, generated: None)
    with pytest.raises(AssertionError):
        assert_parity(family.backend, family.eager, BIASES["lift the second"], family.prompt, steps=4)


def test_another_picture_is_another_context(family):
    seen = context(sketch(7), "The sign says OPEN until nine.", sketch(2, 40, 20))
    other = family.backend.encode(seen, Prompt.STANDARD)
    assert other.context_ids == family.prompt.context_ids
    session, again = (family.backend.open(prompt, Stop()) for prompt in (family.prompt, other))
    keys, others = (one._contexts.get(AttentionBias()).keys[-1] for one in (session, again))
    assert not torch.allclose(keys, others, atol=1e-2)


def test_a_context_read_in_chunks_is_the_same(family, monkeypatch):
    whole = family.backend.open(family.prompt, Stop())._contexts.get(AttentionBias())
    monkeypatch.setattr(prefill, "PREFILL_CHUNK", 7)  # ends within pictures
    pieces = family.backend.open(family.prompt, Stop())._contexts.get(AttentionBias())
    for one, other in zip(whole.keys, pieces.keys, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_positions_after_pictures_go_on_where_theirs_end(family):
    inputs = context_inputs(family.backend.loaded, family.prompt.context_ids, family.prompt.media, Stop())
    length = len(family.prompt.context_ids)
    assert inputs.rotary_offset == int(inputs.rotary.max()) + 1 - length
    assert (inputs.rotary_offset < 0) == family.name.startswith("Qwen2")


def test_a_request_that_is_cancelled_stops_before_its_next_picture(family, monkeypatch):
    model, stop, seen = family.backend.loaded.model, Stop(), []
    look = model.get_image_features

    def looking(**inputs):
        seen.append(inputs)
        stop.cancel()
        return look(**inputs)

    monkeypatch.setattr(model, "get_image_features", looking)
    with pytest.raises(Cancelled):
        context_inputs(family.backend.loaded, family.prompt.context_ids, family.prompt.media, stop)
    assert (len(family.prompt.media), len(seen)) == (2, 1)


def test_a_familys_self_test_passes(family):
    checks = family.backend.self_test()
    assert all(check.passed for check in checks), checks


def test_the_vision_tower_keeps_its_own_attention(family):
    model = family.backend.loaded.model
    text = model.config.get_text_config()
    assert text._attn_implementation == "xmguard"
    others = [getattr(model.config, name) for name in model.config.sub_configs]
    assert all(one._attn_implementation != "xmguard" for one in others if one is not text)


def test_every_architecture_that_reads_pictures_is_tested_here():
    assert {f"{family}ForConditionalGeneration" for family in PICTURE_FAMILIES} == set(PICTURES)
