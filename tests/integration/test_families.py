"""Every architecture that is let in, against its own eager attention: steered and measured exactly, float32.

Prompts are longer than every window, and windows end inside the spans while the answer is read: what a window hides is
part of the comparison.
"""

import pytest

from tests.integration.eager import Eager
from tests.integration.families import FAMILIES, KINDS, WINDOW
from tests.integration.parity import BIASES, STEPS, THREE, assert_parity, tokens_that_a_bias_changes
from xmguard.backends.transformers.families import PROVEN
from xmguard.backends.transformers.loader import load
from xmguard.backends.transformers.session import TransformersSession
from xmguard.request import Prompt
from xmguard.testing import make_model


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, tmp_path_factory, registry):
    family = FAMILIES[request.param]
    folder = make_model(tmp_path_factory.mktemp("model"), family=request.param, seed=family.seed, **family.config)
    return load(folder, registry=registry), Eager(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_family_is_read_and_steered_exactly(pair, kind):
    assert_parity(*pair, KINDS[kind])


def test_windows_end_inside_the_spans(pair):
    """As long as they are meant to be: a longer prompt template would quietly move the spans out of sight."""
    backend, _ = pair
    prompt = backend.encode(THREE, Prompt.STANDARD)
    length = len(prompt.context_ids) + len(prompt.joint_tail)
    first_seen = [length - WINDOW, length + STEPS - WINDOW]
    spans = prompt.span_map.spans
    assert any(spans[0].start < position < spans[-1].stop for position in first_seen)


def test_a_familys_reference_can_fail(pair):
    assert tokens_that_a_bias_changes(*pair) >= 8


def test_an_engine_that_drops_the_bias_fails(pair, monkeypatch):
    monkeypatch.setattr(TransformersSession, "_steering", lambda self, branches, generated: None)
    with pytest.raises(AssertionError):
        assert_parity(*pair, BIASES["lift the second"], steps=4)


def test_a_familys_self_test_passes(pair):
    checks = pair[0].self_test()
    assert all(check.passed for check in checks), checks


def test_every_proven_architecture_is_tested_here():
    assert {f"{family}ForCausalLM" for family in FAMILIES} == set(PROVEN)
