"""Analyses of planted answers: what was put in is found, and what was not is not."""

import math

import numpy as np
import pytest

from xmguard import Span, hookimpl, load_plugins
from xmguard_research.analyses import balance, drawing, order
from xmguard_research.analyses.causal import monotonicity
from xmguard_research.analyses.following import gives, source_followed
from xmguard_research.analyses.groups import Sides, groups, sides
from xmguard_research.analyses.outcome import Outcome, markdown, number
from xmguard_research.analyses.reading import Reading
from xmguard_research.analyses.steering import PLAIN, Swept
from xmguard_research.analyses.sweep import ALL, outcome, settings
from xmguard_research.benchmarks.cases import Case
from xmguard_research.judge.rules import RuleJudge
from xmguard_research.metrics import Estimate

DRAWS = 60
TEXTS = {"en": "The gate is 25 metres wide.", "es": "La puerta mide 40 metros."}
KNOWN = {"en": "25 meters", "es": "40 meters"}


def case(name, languages=("en", "es"), conflict=True):
    spans = tuple(Span(f"s{place}", TEXTS[tag], language=tag) for place, tag in enumerate(languages, 1))
    variant = "-".join(languages)
    known = tuple(KNOWN[tag] for tag in languages) if conflict else (KNOWN["en"],) * 2
    return Case(f"{name}/{variant}/{conflict}", name, variant, "How wide is the gate?", spans, conflict, known)


def reading(labels=("en", "es"), norms=(1.0, 1.0), answer="", alone=("25 metres", "40 metres"), entropies=(1.0, 1.0)):
    cube = [[[0.5, *norms]]]
    return Reading("k", "p", list(labels), [4, 8], cube, [], answer, None, [], list(alone), list(entropies))


# -- whose answer it is ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "source"),
    [
        ("It is 25 meters wide.", 0),
        ("40 m", 1),
        ("The gate is 25 meters or 40 meters wide.", None),
        ("125 meters", None),
        ("It is wide.", None),
        ("", None),
    ],
)
def test_an_answer_follows_the_one_source_whose_answer_it_gives(registry, said, source):
    assert source_followed(said, case("a"), registry) == source
    assert source_followed(said, case("a", ("es", "en")), registry) == (None if source is None else 1 - source)


def test_an_answer_in_the_language_of_its_source_counts(registry):
    english = registry.languages.items["en"]

    class Turkish(type(english)):
        tag, name = "tr", "Turkish"

        def normalize(self, answer):
            return english.normalize(answer.replace("kırk metre", "40 meters"))

    class Plugin:
        @hookimpl
        def xmguard_languages(self):
            return [Turkish()]

    speaking = load_plugins({"turkish": Plugin()})
    assert gives("kırk metre", "40 meters", speaking, ["en", "tr"])
    assert not gives("kırk metre", "40 meters", speaking, ["en"])
    assert not gives("kırk metre", "25 meters", speaking, ["en", "tr"])
    assert not gives("kırk metre", " ", speaking, ["en", "tr"]), "whose answer is not known"


# -- sides and groups ------------------------------------------------------------------------------------------------


def test_sides_are_text_then_english_then_what_is_read_first():
    assert sides(["image", "text"]) == Sides(1, 0, "text", "image")
    assert sides(["es", "en"]) == Sides(1, 0, "en", "es")
    assert sides(["tr", "zh"]) == Sides(0, 1, "tr", "zh")
    assert sides(["zh", "tr"]) == Sides(1, 0, "tr", "zh")
    assert sides(["image", "image"]) == Sides(0, 1, "image first", "image second")


def test_orders_are_kept_apart_and_then_pooled_by_side():
    rows = [(case("a"), reading(norms=(3.0, 1.0))), (case("a", ("es", "en")), reading(("es", "en"), (2.0, 5.0)))]
    first, second, both = groups(rows)
    assert [first.name, second.name, both.name] == ["en-es", "es-en", "en and es, both orders"]
    assert (first.label_a, second.label_a) == ("en first", "en second")
    assert both.of_side([row.contributions for _, row in rows]) == ([3.0, 5.0], [1.0, 2.0])


# -- sweep -----------------------------------------------------------------------------------------------------------


def planted(follow, report):
    """A judge's and a follower's answers: `follow` and `report` say, by epsilon, how many of four items do."""
    swept = []
    chosen = settings("epsilon", list(follow), "later", ["readers"])
    for index in range(4):
        for conflict in (True, False):
            answers = {}
            for setting in chosen:
                own = "40 meters" if index < follow[setting.amount] else "25 meters"
                says = conflict and index < report[setting.amount]
                answers[setting.name] = f"{own}. The two texts contradict each other." if says else own
            swept.append(Swept(case(str(index), conflict=conflict), 0, answers))
    return swept, chosen


def swept_outcome(swept, chosen, registry):
    questions = {one.case.id: one.case.question for one in swept}
    return outcome(swept, chosen, questions, RuleJudge(), registry, resamples=DRAWS)


def test_planted_following_and_reports_are_found(registry):
    found = swept_outcome(*planted({0.0: 1, 2.0: 2, -2.0: 0, 4.0: 4}, {-2.0: 0, 0.0: 0, 2.0: 1, 4.0: 3}), registry)
    rates = {own["amount"]: own for own in found.values["rates"]}
    assert list(rates) == [-2.0, 0.0, 2.0, 4.0]
    assert [own["follows_steered"]["value"] for own in rates.values()] == [0.0, 0.25, 0.5, 1.0]
    assert [own["follows_other"]["value"] for own in rates.values()] == [1.0, 0.75, 0.5, 0.0]
    assert [own["steered_of_followed"]["value"] for own in rates.values()] == [0.0, 0.25, 0.5, 1.0]
    assert [own["detection"]["value"] for own in rates.values()] == [0.0, 0.0, 0.25, 0.75]
    assert {own["false_alarms"]["value"] for own in rates.values()} == {0.0}
    assert rates[4.0]["follows_steered"]["low"] < 1.0, "four items that agree are not certainty"
    (trend,) = found.values["monotonicity"]
    assert trend["down"]["value"] == 0.0
    assert trend["never_down"]["value"] == 1.0
    assert trend["departure"] == 0.0
    assert trend["spearman"]["low"] > 0.0
    assert found.table[0][2] == "epsilon, nats"


def test_following_that_falls_is_found_too(registry):
    found = swept_outcome(*planted({0.0: 4, 1.0: 2, 2.0: 3, 4.0: 0}, dict.fromkeys([0.0, 1.0, 2.0, 4.0], 0)), registry)
    (trend,) = found.values["monotonicity"]
    assert trend["spearman"]["high"] < 0.0
    assert trend["down"]["value"] == (2 + 0 + 3) / 12
    assert trend["up"]["value"] == 1 / 12
    assert trend["never_down"]["value"] == 0.0
    assert trend["departure"] > 0.4


def test_the_weaker_source_is_the_one_that_is_followed_when_it_is_steered(registry):
    chosen = settings("share", [0.5], "weaker", ["readers"])
    answers = {PLAIN: "40 meters", chosen[0].name: "25 meters"}
    swept = [Swept(case(str(index)), 0, answers) for index in range(3)]
    swept.append(Swept(case("mute", conflict=False), 0, {PLAIN: "40 meters", chosen[0].name: " "}))
    found = swept_outcome(swept, chosen, registry)
    before, after = found.values["rates"]
    assert (before["amount"], before["scope"], after["amount"]) == (None, "none", 0.5)
    assert (before["follows_steered"]["value"], after["follows_steered"]["value"]) == (0.0, 1.0)
    assert (before["empty"], after["empty"]) == (0, 1)
    assert found.analysis == "target-share"
    assert found.values["monotonicity"] == [], "one amount is no trend"


def test_what_follows_neither_source_is_no_preference_for_the_other(registry):
    chosen = settings("epsilon", [0.0, 4.0], "later", ["readers"])
    swept = [
        Swept(case(str(index)), 0, {chosen[0].name: "25 m", chosen[1].name: "40 m" if index else "I can help you."})
        for index in range(4)
    ]
    last = swept_outcome(swept, chosen, registry).values["rates"][-1]
    assert (last["follows_steered"]["value"], last["follows_neither"]["value"]) == (0.75, 0.25)
    assert last["steered_of_followed"]["value"] == 1.0


def test_variants_are_apart_but_for_the_causal_check(registry):
    chosen = settings("epsilon", [0.0, 2.0], "later", ["readers", "all"])
    swept = [
        Swept(case("a", languages), 0, {setting.name: "40 meters" for setting in chosen})
        for languages in (("en", "es"), ("es", "en"))
    ]
    found = swept_outcome(swept, chosen, registry)
    assert len(found.values["rates"]) == 2 * 2 * 2
    assert {(own["group"], own["scope"]) for own in found.values["monotonicity"]} == {
        (group, scope) for group in ("en-es", "es-en", ALL) for scope in ("readers", "all")
    }


def test_the_rank_correlation_is_spearmans():
    from scipy.stats import spearmanr

    generator = np.random.default_rng(0)
    follows = (generator.random((30, 5)) < np.linspace(0.2, 0.7, 5)).tolist()
    found = monotonicity(follows, [str(row // 2) for row in range(30)], resamples=DRAWS)
    amounts = np.tile(np.arange(5), 30)
    assert found.spearman.value == pytest.approx(spearmanr(amounts, np.ravel(follows)).statistic)
    assert found.spearman.low < found.spearman.value < found.spearman.high
    for always in (True, False):
        assert monotonicity([[always, always]], ["a"], resamples=DRAWS).spearman.value is None
    unchanged = monotonicity([[True, True], [False, False]], ["a", "b"], resamples=DRAWS)
    assert unchanged.spearman.value == 0.0, "no change with the amount is known, not undefined"


def test_conflicts_that_never_follow_are_not_taken_for_monotone():
    follows = [[False, False, False], [False, False, False], [False, True, True], [True, False, True]]
    found = monotonicity(follows, list("abcd"), resamples=DRAWS)
    assert (found.never_down.value, found.never_follow) == (0.5, 2)
    nothing = monotonicity(follows[:2], list("ab"), resamples=DRAWS)
    assert (nothing.never_down.value, nothing.never_follow) == (None, 2)


def test_conflicts_of_unequal_amounts_are_refused():
    with pytest.raises(ValueError, match=r"\[2, 3\] amounts"):
        monotonicity([[True, True], [True, True, True]], ["a", "b"])


# -- order -----------------------------------------------------------------------------------------------------------


def test_planted_primacy_is_found(registry):
    rows = []
    for index in range(6):
        for languages in (("en", "es"), ("es", "en")):
            first = KNOWN[languages[0]]
            rows.append((case(str(index), languages), reading(languages, (2.0, 1.0), first)))
    own = order.outcome(rows, registry, resamples=DRAWS).values["groups"]["en-es and es-en"]
    assert (own["first"], own["second"], own["primacy"], own["content"]) == (12, 0, 6, 0)
    assert own["effect"]["value"] == 1.0
    assert 0.0 < own["effect"]["low"] < 1.0, "six items that agree are not certainty"
    assert own["effect_p"] == own["log_ratio_p"] == 2 / 2**6
    assert own["log_ratio"]["value"] == pytest.approx(math.log(2))


def test_a_source_that_is_followed_wherever_it_stands_is_no_primacy(registry):
    rows = [
        (case(str(index), languages), reading(languages, (2.0, 1.0) if languages[0] == "en" else (1.0, 2.0), "25 m"))
        for index in range(6)
        for languages in (("en", "es"), ("es", "en"))
    ]
    own = order.outcome(rows, registry, resamples=DRAWS).values["groups"]["en-es and es-en"]
    assert (own["effect"]["value"], own["content"], own["effect_p"]) == (0.0, 6, 1.0)
    assert own["log_ratio"]["value"] == 0.0


# -- balance ---------------------------------------------------------------------------------------------------------


def test_a_planted_balance_point_is_found(registry):
    generator = np.random.default_rng(1)
    rows = []
    for index in range(150):
        text = generator.uniform(0.2, 3.0)
        uncertainty = 2 * (text - 1.0) / (text + 1.0)
        follows = generator.random() < 1 / (1 + np.exp(4 * (uncertainty - 0.3)))
        rows.append((case(str(index)), reading(answer="40 m" if follows else "25 m", entropies=(1.0, text))))
    rows.append((case("mute"), reading(answer="I do not know.")))
    rows.append((case("control", conflict=False), reading(answer="25 m")))
    (own,) = balance.outcome(rows, registry, resamples=20).values["groups"].values()
    assert (own["conflicts"], own["neither"], own["without_uncertainty"]) == (151, 1, 0)
    assert own["balance_point"]["value"] == pytest.approx(0.3, abs=0.2)
    assert own["balance_point"]["low"] < own["balance_point"]["value"] < own["balance_point"]["high"]
    assert own["slope"]["high"] < 0.0
    assert own["understood"] == 151
    assert own["text_following_rate"]["value"] == own["followed_t"]["value"] == own["follow_t"] / 150


def test_the_text_is_followed_wherever_it_stands_and_what_is_not_known_is_left_out(registry):
    spans = (Span("s1", "Text.", language="en"), Span("s2", "A picture's stand-in.", language="en"))
    seen = Case("a", "a", "text-image", "How wide?", spans, True, ("25 meters", "40 meters"))
    rows = [
        (seen, reading(("text", "image"), answer="25 m", entropies=(0.5, 1.5))),
        (seen, reading(("text", "image"), answer="40 m", entropies=(None, 1.0), alone=("25 m", "no"))),
    ]
    one, other = balance.points(rows, registry)
    assert (one.follows, one.uncertainty, one.understood) == (True, -1.0, True)
    assert (other.follows, other.uncertainty, other.understood) == (False, None, False)


# -- what is written -------------------------------------------------------------------------------------------------


def test_a_figure_is_the_same_bytes_every_time():
    def drawn(salt):
        figure, (axis,) = drawing.panels(["a $ b"], "x", "y")
        points = [Estimate(0.5, 0.4, 0.6, 0), Estimate(None, None, None, 0), Estimate(0.7, 0.6, 0.9, 0)]
        drawing.curve(axis, [0.0, 1.0, 2.0], points, "line", 0)
        drawing.legend(axis)
        return drawing.svg(figure, salt=salt)

    assert drawn("one") == drawn("one")
    assert drawn("one") != drawn("two"), "figures in one page share no ids"


def test_a_single_item_has_a_value_and_no_interval():
    assert number(Estimate(0.25, 0.25, 0.25, 0)) == "0.25"
    assert number(Estimate(0.25, 0.1, 0.5, 0)) == "0.25 [0.1, 0.5]"
    assert number(Estimate(None, None, None, 7)) == "–"


def test_cells_cannot_break_a_table():
    shown = markdown(Outcome("a", "T", "C.", [["x", "y"], ["a|b", "c"]], {}, {}))
    assert shown == "# T\n\n| x | y |\n| --- | --- |\n| a\\|b | c |\n\nC.\n"
