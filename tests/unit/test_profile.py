import json

import pytest

from xmguard.context import ContextSpan
from xmguard.errors import ModelRefused
from xmguard.profile import CARD, Profile, meeting
from xmguard.profile_reader import read_profile
from xmguard.request import Rebalance
from xmguard.span import Span

GOOD = {
    "name": "tiny-1",
    "rebalance": {"policy": "floor", "parameters": {"minimum": 0.5, "cap": 1}, "heads": [[0, 0.5], [1, 1]]},
}


def save(folder, content):
    (folder / CARD).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def changed(**changes):
    """GOOD with keys of `rebalance` changed."""
    return GOOD | {"rebalance": GOOD["rebalance"] | changes}


def test_a_profile_is_read_as_it_stands(tmp_path):
    read = read_profile(save(tmp_path, {"license": "MIT", "profile": GOOD}))
    assert read == Profile("tiny-1", "floor", {"minimum": 0.5, "cap": 1.0}, ((0.0, 0.5), (1.0, 1.0)))


def test_parameters_and_heads_may_be_left_out(tmp_path):
    profile = {"name": "p", "rebalance": {"policy": "soften"}}
    assert read_profile(save(tmp_path, {"profile": profile})) == Profile("p", "soften", {}, None)


def spans(*kinds):
    """Texts in a language, or spans of a modality."""
    languages = {"en", "zh-Hans", "und"}
    return [
        ContextSpan(Span(), "text" if kind in languages else kind, kind if kind in languages else "und")
        for kind in kinds
    ]


@pytest.mark.parametrize(
    ("kinds", "name"),
    [
        (("zh-Hans", "en"), "en-zh"),
        (("en", "und"), "en-en"),
        (("en", "image"), "image-text"),
        (("image", "image"), "image-image"),
        (("en", "en", "en"), "en-en"),
        (("en", "en", "zh-Hans"), ""),
        (("en",), ""),
    ],
)
def test_how_spans_meet_is_named_by_language_or_modality(kinds, name):
    assert meeting(spans(*kinds)) == name


def test_a_pair_has_a_policy_of_its_own(tmp_path):
    own = {"en-zh": {"policy": "fixed", "parameters": {"epsilon": 2}}, "image-text": {"policy": "none"}}
    read = read_profile(save(tmp_path, {"profile": changed(pairs=own)}))
    assert read.pairs == {"en-zh": Rebalance("fixed", {"epsilon": 2.0}), "image-text": Rebalance("none")}
    assert read.default(spans("zh-Hans", "en")) == Rebalance("fixed", {"epsilon": 2.0})
    assert read.default(spans("en", "en")) == Rebalance("floor", {"minimum": 0.5, "cap": 1.0})


def test_a_folder_without_a_profile_has_none(tmp_path):
    assert read_profile(tmp_path) is None
    assert read_profile(save(tmp_path, {"name": "smollm2"})) is None


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        ([], "profile is not an object with the keys name, rebalance"),
        ({}, "profile.name is missing"),
        ({"name": "p"}, "profile.rebalance is missing"),
        ({"name": "p", "rebalance": 3}, "profile.rebalance is not an object with the keys policy, parameters, heads"),
        (GOOD | {"name": ""}, "profile.name is not a name"),
        (GOOD | {"name": 4}, "profile.name is not a name"),
        (GOOD | {"calibration": {}}, "profile.calibration is not known; the keys here are name, rebalance"),
        (changed(scope="ALL"), "profile.rebalance.scope is not known"),
        (changed(policy=None), "profile.rebalance.policy is not a name"),
        (changed(parameters=[1]), "profile.rebalance.parameters is not an object of numbers"),
        (changed(parameters={"cap": "2"}), 'profile.rebalance.parameters["cap"] is "2", not a number'),
        (changed(parameters={"cap": True}), 'profile.rebalance.parameters["cap"] is true, not a number'),
        (changed(parameters={"cap": float("nan")}), 'profile.rebalance.parameters["cap"] is nan; a number'),
        (changed(pairs=[]), "profile.rebalance.pairs is not an object of policies"),
        (changed(pairs={"zh-en": {"policy": "none"}}), 'profile.rebalance.pairs["zh-en"] is named by no two languages'),
        (changed(pairs={"en": {"policy": "none"}}), 'profile.rebalance.pairs["en"] is named by no two languages'),
        (changed(pairs={"-": {"policy": "none"}}), 'profile.rebalance.pairs["-"] is named by no two languages'),
        (changed(pairs={"-en": {"policy": "none"}}), 'profile.rebalance.pairs["-en"] is named by no two languages'),
        (changed(pairs={"en-zh": {"epsilon": 1}}), 'profile.rebalance.pairs["en-zh"].policy is missing'),
        (changed(pairs={"en-zh": {"policy": "none", "heads": []}}), 'profile.rebalance.pairs["en-zh"].heads is not'),
        (changed(heads=3), "profile.rebalance.heads is not a list of layers"),
        (changed(heads=[1.0]), "profile.rebalance.heads is not a list of layers"),
        (changed(heads=[[0.5], [None]]), "profile.rebalance.heads[1][0] is null, not a number"),
        (changed(heads=[[0.5], [1.0, 1.5]]), "profile.rebalance.heads[1][1] is 1.5; from 0 to 1"),
        (changed(heads=[[-0.1]]), "profile.rebalance.heads[0][0] is -0.1; from 0 to 1"),
        (changed(heads=[[float("nan")]]), "profile.rebalance.heads[0][0] is nan; from 0 to 1"),
        (changed(heads=[[0, 0], [0, 0]]), "profile.rebalance.heads holds no factor above 0"),
        (changed(heads=[]), "profile.rebalance.heads holds no factor above 0"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_key(tmp_path, profile, reason):
    with pytest.raises(ModelRefused) as caught:
        read_profile(save(tmp_path, {"profile": profile}))
    assert [found for found in caught.value.reasons if found.startswith(f"{CARD}: {reason}")], caught.value.reasons
    assert str(tmp_path) in str(caught.value)


def test_every_reason_is_given_once(tmp_path):
    with pytest.raises(ModelRefused) as caught:
        read_profile(save(tmp_path, {"profile": changed(policy="", parameters={"cap": None}, heads=[[2, 3]])}))
    assert len(caught.value.reasons) == 4


@pytest.mark.parametrize(("content", "reason"), [("{", "cannot be read"), ("[]", "is not a JSON object")])
def test_a_card_that_is_no_json_object_is_refused(tmp_path, content, reason):
    with pytest.raises(ModelRefused, match=reason):
        read_profile(save(tmp_path, content))
