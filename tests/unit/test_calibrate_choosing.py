"""What calibration decides from rows: the policy that is planted is found, and none wins where nothing helps."""

from dataclasses import replace

import numpy as np
import pytest

from xmguard.errors import InvalidRequest
from xmguard.profile import Profile
from xmguard.request import Rebalance
from xmguard.span import Span
from xmguard_research.benchmarks.cases import Case
from xmguard_research.calibration import layers
from xmguard_research.calibration.choosing import BALANCE, CHANCE, DETECTION, Outcome, choose
from xmguard_research.calibration.suite_calibrating import head_factors
from xmguard_research.calibration.suite_cases import DEV, TEST, halves, split

WEAK, STRONG = "fixed epsilon=1", "fixed epsilon=4"


def outcomes(*, said=0.0, alarms=0.0, right=1.0, log_ratio=1.0, items=12, per_item=2):
    """Conflicts and controls of which so large a part is said, alarmed about and right."""
    made = []
    for item in range(items):
        for number in range(per_item):
            part = (item + number / per_item) / items
            name = f"item {item}"
            made.append(Outcome(name, "standard", "en-es", True, part < said, None, log_ratio))
            made.append(Outcome(name, "standard", "en-es", False, part < alarms, part < right, log_ratio))
    return made


def test_the_policy_that_finds_conflicts_without_harm_is_chosen():
    tried = {"none": outcomes(), WEAK: outcomes(said=0.5), STRONG: outcomes(said=0.9)}
    choice = choose("en-es", tried, DETECTION)
    assert choice.setting == STRONG
    assert "fixed epsilon=4 on 12 dev items: +92 points of detection" in choice.note


def test_what_a_policy_was_seen_to_cost_is_told_with_its_interval():
    tried = {"none": outcomes(items=60), STRONG: outcomes(said=0.9, alarms=0.008, items=60)}
    choice = choose("en-es", tried, DETECTION)
    assert choice.setting == STRONG
    (found,) = choice.candidates
    assert found.alarms.value <= 1.0 < found.alarms.high, "no bound"
    told = f"false alarms {found.alarms.value:+.1f} [{found.alarms.low:+.1f}, {found.alarms.high:+.1f}] points"
    assert choice.note.endswith(told)


@pytest.mark.parametrize("harm", [{"right": 0.9}, {"alarms": 0.1}])
def test_a_policy_that_does_harm_is_not_chosen_whatever_it_finds(harm):
    tried = {"none": outcomes(), WEAK: outcomes(said=0.6), STRONG: outcomes(said=1.0, **harm)}
    assert choose("en-es", tried, DETECTION).setting == WEAK
    del tried[WEAK]
    choice = choose("en-es", tried, DETECTION)
    assert choice.setting == "none"
    assert choice.note.endswith("fixed epsilon=4 gained and did harm")


@pytest.mark.parametrize("items", [4, 12])
def test_none_wins_where_nothing_is_shown_better(items):
    few = {4: 1.0, 12: 0.2}[items]  # everything on few items, or little on many
    tried = {"none": outcomes(items=items), STRONG: outcomes(said=few, items=items), WEAK: outcomes(items=items)}
    choice = choose("en-zh", tried, DETECTION)
    assert choice.setting == "none"
    assert f"en-zh: left alone; no value shown better than none on {items} dev items; the most had" in choice.note


def test_chance_is_shared_out_among_all_ways_of_meeting():
    tried = {"none": outcomes(items=10), STRONG: outcomes(said=1.0, items=10), WEAK: outcomes(items=10)}
    known = choose("en-zh", tried, DETECTION).candidates[0].p_value
    assert CHANCE / (13 * 2) < known <= CHANCE / (12 * 2), "the plant lies between the two"
    assert choose("en-zh", tried, DETECTION, pairs=12).setting == STRONG
    beside = choose("en-zh", tried, DETECTION, pairs=13)
    assert beside.setting == "none"
    assert "left alone" in beside.note


def test_without_controls_harm_is_not_known_and_nothing_is_chosen():
    tried = {
        setting: [one for one in outcomes(said=said) if one.conflict] for setting, said in {"none": 0, WEAK: 1}.items()
    }
    assert choose("en-es", tried, DETECTION).setting == "none"


def test_balance_takes_the_policy_that_evens_the_sources_out():
    tried = {"none": outcomes(), WEAK: outcomes(log_ratio=0.25), STRONG: outcomes(log_ratio=0.75)}
    assert choose("en-es", tried, BALANCE).setting == WEAK
    assert choose("en-es", {"none": outcomes(), STRONG: outcomes(log_ratio=1.5)}, BALANCE).setting == "none"


# -- layers ------------------------------------------------------------------------------------------------------------


def reads(*, told_by=None, count=60, seed=0):
    """Signals of chance in 4 layers of 3 heads, of which one head tells whose answer is followed."""
    noise = np.random.default_rng(seed).normal(size=(count, 2, 4, 3))
    made = []
    for index, both in enumerate(noise):
        first = index % 2 == 0
        if told_by is not None:
            signal, layer, head = told_by
            both[layers.SIGNALS.index(signal), layer, head] += 3.0 if first else -3.0
        made.append(layers.Read(f"item {index // 2}", first, dict(zip(layers.SIGNALS, both, strict=True))))
    return made


@pytest.mark.parametrize("signal", layers.SIGNALS)
def test_the_head_that_tells_whose_answer_is_followed_is_found(signal):
    found = layers.fit(reads(told_by=(signal, 2, 1)))
    assert found.signal == signal
    factors = np.array(found.heads)
    assert factors.shape == (4, 3)
    assert factors[2, 1] == 1.0
    assert factors[[0, 1, 3]].max() < 0.35
    tested = layers.judged(reads(told_by=(signal, 2, 1), seed=1), found.heads, signal)
    assert tested.weighed.value > 0.95 > tested.plain.value
    assert tested.difference.excludes_zero


def test_heads_are_left_alone_where_nothing_tells_whose_answer_is_followed():
    found = layers.fit(reads())
    assert found.heads is None
    assert "no weights predict better than none (30 conflicts follow the first source and 30 the second)" in found.note


def test_heads_are_left_alone_where_hardly_anything_is_followed():
    found = layers.fit(reads(told_by=(layers.RATIOS, 2, 1), count=12))
    assert found.heads is None
    assert "6 conflicts follow the first source and 6 the second, 10 of each" in found.note


FITTED = layers.Fitted(((0.0, 1.0),), layers.RATIOS, (), "")
OWN = Profile("own", "none", heads=((1.0, 0.0),))


def test_factors_are_written_only_with_a_policy_that_was_shown_better_with_them():
    heads, (said,) = head_factors(FITTED, OWN, {"en-es": STRONG, "en-zh": "none"})
    assert heads == FITTED.heads
    assert "because the policy of en-es was shown better than none with them" in said
    assert said.endswith("every bias that is asked for")
    heads, (said,) = head_factors(FITTED, OWN, {"en-es": "none", "en-zh": "none"})
    assert heads == OWN.heads
    assert "left out; no policy was shown better" in said
    assert head_factors(replace(FITTED, heads=None), OWN, {"en-es": STRONG}) == (OWN.heads, [])


def test_policies_that_new_factors_reach_untried_are_named():
    pairs = {"de-en": Rebalance("soften"), "en-es": Rebalance("soften"), "en-fr": Rebalance("none")}
    _, (said,) = head_factors(FITTED, replace(OWN, policy="floor", pairs=pairs), {"en-es": STRONG})
    assert said.endswith("also the policy of de-en, any other pair, which was not tried")


# -- halves ------------------------------------------------------------------------------------------------------------


def cases(items):
    spans = (Span("s1", "a", language="en"), Span("s2", "b", language="en"))
    return [Case(f"{item}/{n}", f"{item}", "en-en", "q?", spans, bool(n), ("a", "b")) for item in items for n in (0, 1)]


def test_dev_and_test_share_no_item_and_more_items_add_to_fewer():
    every = cases(range(60))
    whole = halves(every, None)
    names = {half: {case.item for case in own} for half, own in whole.items()}
    assert not names[DEV] & names[TEST]
    assert len(names[DEV]) + len(names[TEST]) == 60
    assert min(map(len, names.values())) > 20
    few, some = halves(every, 3), halves(every, 7)
    for half in (DEV, TEST):
        assert len({case.item for case in few[half]}) == 3
        assert set(few[half]) < set(some[half]) < set(whole[half])
    assert all(split(item) == DEV for item in names[DEV]), "whatever else is there"


def test_a_suite_of_one_half_is_refused():
    alone = [item for item in range(20) if split(str(item)) == DEV]
    with pytest.raises(InvalidRequest, match=r"--suite: none of its \d+ items is test; take a suite"):
        halves(cases(alone), None)
