"""A model's profile from its file to what a request gets, on a tiny real model."""

import json
import shutil
from dataclasses import replace

import pytest

from xmguard.errors import InvalidRequest, ModelRefused
from xmguard.guard import Guard
from xmguard.loading import load_guard
from xmguard.profile import CARD, Profile
from xmguard.request import AnswerRequest, Decoding, OnError, Rebalance
from xmguard.span import Span

REQUEST = AnswerRequest(
    spans=(Span(text="The door is red.", language="en"), Span(text="Kapı mavi.", language="tr")),
    question="Which colour?",
    decoding=Decoding(max_tokens=8),
    on_error=OnError.OPEN,
)
ODD_HEADS = ((0.0, 1.0) * 3,) * 3


@pytest.fixture
def guarded(tiny_backend, registry):
    def make(**profile):
        return Guard(tiny_backend, registry, model="tiny", profile=Profile(**{"name": "tiny-1", **profile}))

    return make


def test_a_request_without_a_policy_gets_the_profiles(guarded):
    guard = guarded(policy="fixed", parameters={"epsilon": 2.0})
    response = guard.answer(REQUEST)
    assert response.rebalancing.applied
    assert response.rebalancing.policy == "fixed"
    assert 2.0 in [span.bias for span in response.spans]
    assert response.served_by.profile == guard.describe().profile == guard.describe().stamp.profile == "tiny-1"


def test_a_request_that_names_a_policy_gets_that_one(guarded):
    guard = guarded(policy="fixed", parameters={"epsilon": 2.0})
    none = guard.check(replace(REQUEST, rebalance=Rebalance("none")))
    assert not none.rebalancing.applied
    with pytest.raises(InvalidRequest, match="needs an epsilon per span id"):
        guard.check(replace(REQUEST, rebalance=Rebalance("fixed")))  # the profile's parameters belong to its default


def test_a_request_gets_what_the_profile_has_for_the_languages_that_meet(guarded):
    guard = guarded(policy="none", pairs={"en-tr": Rebalance("fixed", {"epsilon": 2.0})})
    steered = guard.check(REQUEST)
    assert steered.rebalancing.policy == "fixed"
    assert 2.0 in [span.bias for span in steered.spans]
    english = tuple(replace(span, language="en") for span in REQUEST.spans)
    assert guard.check(replace(REQUEST, spans=english)).rebalancing.policy == "none"
    assert not guard.check(replace(REQUEST, rebalance=Rebalance("none"))).rebalancing.applied


def test_the_heads_of_the_profile_bind_every_policy(guarded, tiny_backend, registry):
    rebalance = Rebalance("fixed", bias={"s2": 3.0})
    request = replace(REQUEST, rebalance=rebalance, detail=replace(REQUEST.detail, layers=True))
    everywhere = Guard(tiny_backend, registry, model="tiny").check(request).spans[1]
    some = guarded(policy="none", heads=ODD_HEADS).check(request).spans[1]
    assert some.bias == pytest.approx(1.5), "the mean over the heads"
    first = some.layers[0]  # its rows are the same before and after: nothing steered has fed them yet
    for head in range(6):
        changed = first.heads_after[head] != pytest.approx(first.heads_before[head], rel=1e-5)
        assert changed is bool(ODD_HEADS[0][head])
    assert everywhere.attention_after > some.attention_after > some.attention_before


def test_what_a_rule_comes_to_is_reported_as_the_mean_epsilon(guarded):
    response = guarded(policy="target", parameters={"share": 0.4}).answer(REQUEST)
    assert response.rebalancing.applied
    lifted = [span.bias for span in response.spans if span.bias]
    assert len(lifted) == 1, "the other span is not named"
    assert lifted[0] > 0.1


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        ({"policy": "nope"}, "profile.rebalance.policy: 'nope' is not known; known: fixed, floor, none"),
        ({"policy": "floor", "parameters": {"x": 1.0}}, r'parameters\["x"\]: is no parameter of policy .floor.'),
        ({"policy": "target", "parameters": {"share.s1": 0.5}}, r"share.s1\S* names a span where none is known"),
        ({"policy": "floor", "parameters": {"minimum": 2.0}}, r'parameters\["minimum"\]: is 2.0; from 0 to 1'),
        ({"policy": "fixed"}, "rebalance.bias: is empty"),
        ({"policy": "none", "pairs": {"en-tr": Rebalance("nope")}}, r'pairs\["en-tr"\].policy: .nope. is not known'),
        ({"policy": "none", "pairs": {"en-tr": Rebalance("fixed")}}, r'pairs\["en-tr"\].bias: is empty'),
        ({"policy": "none", "heads": ((1.0,) * 6,) * 2}, "holds 2 layers of 6 heads; the model has 3 of 6"),
        ({"policy": "none", "heads": ((1.0,) * 6, (1.0,) * 5, (1.0,) * 6)}, "holds 3 layers of 5, 6 heads"),
    ],
)
def test_a_profile_that_does_not_fit_is_refused_before_any_request(guarded, profile, reason):
    with pytest.raises(ModelRefused, match=reason) as caught:
        guarded(**profile)
    assert all(found.startswith(f"{CARD}: profile.rebalance.") for found in caught.value.reasons)


def test_it_is_read_from_the_models_folder(tiny_folder, tmp_path, registry):
    folder = shutil.copytree(tiny_folder, tmp_path / "steered")
    card = {"profile": {"name": "p", "rebalance": {"policy": "soften", "heads": [[0.0, 1.0] * 3] * 3}}}
    (folder / CARD).write_text(json.dumps(card))
    guard = load_guard(str(folder), registry=registry)
    assert guard.profile == Profile("p", "soften", {}, ODD_HEADS)
    assert guard.check(REQUEST).rebalancing.policy == "soften"
    card["profile"]["rebalance"]["heads"].pop()
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(
        ModelRefused, match=r"steered is refused: xmguard\.json: profile\.rebalance\.heads: holds 2 layers"
    ):
        load_guard(str(folder), registry=registry)
