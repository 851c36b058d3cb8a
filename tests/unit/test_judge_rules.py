"""The rule judge and the labelled responses: what it is measured on, and how the measuring counts."""

import json
import math
from collections import Counter
from dataclasses import replace

import pytest
import typer

from xmguard import load_plugins
from xmguard.errors import InvalidRequest, PluginError
from xmguard.hookspecs import hookimpl
from xmguard.providers import JudgeProvider
from xmguard_research.judge import __main__ as command
from xmguard_research.judge.labelled import SPLITS, load
from xmguard_research.judge.measuring import quality
from xmguard_research.judge.rules import LANGUAGES, LONGEST, RuleJudge
from xmguard_research.judge.settings import JudgeSettings, make, with_judges
from xmguard_research.judge.values import Exchange, Judgement, Status

LABELLED = load()
REGISTRY = with_judges()
RULES = RuleJudge()


def says(response: str, question: str = "When was it built?") -> bool | None:
    return RULES.judge(Exchange(question, response)).mentions_conflict


def by_split(split: str) -> list:
    return [one for one in LABELLED if one.split == split]


def test_there_are_enough_labelled_responses_of_both_kinds_in_every_language():
    kinds = Counter((one.language, one.says_conflict) for one in LABELLED)
    assert {tag for tag, _ in kinds} == {one.tag for one in LANGUAGES}
    assert len({one.response for one in LABELLED if one.kind != "sameness"}) >= 200
    assert all(abs(kinds[one.tag, True] - kinds[one.tag, False]) <= 3 for one in LANGUAGES)
    assert {one.split for one in LABELLED} == set(SPLITS)


def test_responses_to_one_question_of_a_batch_are_in_one_split():
    splits = {}
    for one in LABELLED:
        assert splits.setdefault((one.batch, one.question), one.split) == one.split


@pytest.mark.parametrize(
    ("split", "sensitivity", "specificity"), [("dev", 0.97, 0.97), ("test", 0.92, 0.91), ("fresh", 0.72, 0.77)]
)
def test_the_rules_are_as_good_as_the_documents_say(split, sensitivity, specificity):
    labelled = by_split(split)
    found = quality(labelled, [RULES.judge(one.exchange) for one in labelled])
    assert found.sensitivity.value >= sensitivity
    assert found.specificity.value >= specificity


@pytest.mark.parametrize(
    ("conflict", "none"),
    [
        ("The sources contradict each other.", "The sources do not contradict each other."),
        ("The sources do not agree.", "The sources agree."),
        ("两个来源互相矛盾。", "两个来源并不矛盾。"),
        ("两个来源不一致。", "两个来源一致。"),
        ("Kaynaklar birbiriyle çelişiyor.", "Kaynaklar birbiriyle çelişmiyor."),
        ("Kaynaklar birbiriyle çelişmektedir.", "Kaynaklar birbiriyle çelişmemektedir."),
        ("Heimildirnar stangast á.", "Heimildirnar stangast ekki á."),
        ("Las fuentes se contradicen.", "Las fuentes no se contradicen."),
        ("Les sources se contredisent.", "Les sources ne se contredisent pas."),
        ("Die Quellen widersprechen sich.", "Die Quellen widersprechen sich nicht."),
        ("Die Quellen stimmen nicht überein.", "Die Quellen stimmen überein."),
    ],
)
def test_a_denial_turns_the_judgement_in_every_language(conflict, none):
    assert says(conflict) is True
    assert says(none) is False


def test_values_count_when_they_are_bound_to_sources_and_not_when_they_are_listed():
    assert says("The first text says 1904 and the second says 1911.") is True
    assert says("1904 and 1911.") is False
    assert says("The first text says 1904 and the second says 1904.") is False
    assert says("The first text says 1904 and the second does not say.") is False


def test_a_no_to_whether_the_sources_agree_says_a_conflict_and_to_another_question_does_not():
    assert says("No.", "Would the answers to 'When was it built?' be the same based on the texts?") is True
    assert says("Yes.", "Would the answers to 'When was it built?' be the same based on the texts?") is False
    assert says("No.", "Was it built in 1904?") is False


def test_a_dispute_among_people_or_a_condition_is_none_among_sources():
    assert says("The two owners disagreed about the year, and there was a conflict.") is False
    assert says("It was 1904. If the sources had contradicted each other, I would have said so.") is False


@pytest.mark.parametrize("response", ["", " ", "?", "\n\n", "“”", "1904", "。", "the first the second"])
def test_a_response_that_says_nothing_says_no_conflict(response):
    assert says(response) is False


def test_a_response_that_is_too_long_is_an_error_and_not_a_no():
    assert RULES.judge(Exchange("Q", "x" * LONGEST)).status is Status.PARSED
    assert RULES.judge(Exchange("Q", "x" * (LONGEST + 1))).status is Status.ERROR


def test_quality_counts_what_was_not_judged_apart():
    yes, no = (next(one for one in LABELLED if one.says_conflict is said) for said in (True, False))
    parsed = {said: Judgement(Status.PARSED, said) for said in (True, False)}
    malformed, error = (Judgement(status, None, "x") for status in (Status.MALFORMED, Status.ERROR))
    found = quality(
        [yes, yes, yes, no, no, no, no],
        [parsed[True], parsed[False], malformed, parsed[False], parsed[False], parsed[True], error],
    )
    assert (found.sensitivity.hits, found.sensitivity.total) == (1, 2)
    assert (found.specificity.hits, found.specificity.total) == (2, 3)
    assert found.unjudged == {Status.MALFORMED: 1, Status.ERROR: 1}
    assert found.responses == 7
    # 3 of 5 agree; by chance 0.4 * 0.4 + 0.6 * 0.6 = 0.52 would.
    assert found.kappa == pytest.approx((0.6 - 0.52) / (1 - 0.52))
    # Wilson's interval of 2 of 3, by his formula.
    center, half = (
        (2 / 3 + 1.96**2 / 6) / (1 + 1.96**2 / 3),
        1.96 * math.sqrt(2 / 27 + 1.96**2 / 36) / (1 + 1.96**2 / 3),
    )
    assert found.specificity.interval == pytest.approx((center - half, center + half), abs=1e-4)


def test_quality_of_nothing_judged_is_unknown_and_not_zero():
    found = quality([LABELLED[0]], [Judgement(Status.ERROR, None, "x")])
    assert math.isnan(found.sensitivity.value)
    assert math.isnan(found.kappa)
    assert found.sensitivity.interval == (0.0, 1.0)
    with pytest.raises(ValueError, match="zip"):
        quality([LABELLED[0]], [])


def test_a_judge_refuses_settings_it_has_no_use_for_and_unknown_ones_list_the_known():
    with pytest.raises(InvalidRequest) as refused:
        make("rules", JudgeSettings(model="m", retries=1), REGISTRY)
    assert [one.field for one in refused.value.violations] == ["model", "retries"]
    with pytest.raises(InvalidRequest, match="guard, openai, rules"):
        make("other", JudgeSettings(), REGISTRY)


def test_a_plugins_judge_is_made_by_its_name():
    class Plugin:
        @staticmethod
        @hookimpl
        def xmguard_judges():
            here = "xmguard_research.judge.rules"
            return [JudgeProvider("own", "", f"{here}:make"), JudgeProvider("gone", "", f"{here}:no_such")]

    registry = load_plugins({"own": Plugin()})
    assert make("own", JudgeSettings(), registry).judge(LABELLED[0].exchange).status is Status.PARSED
    with pytest.raises(PluginError, match="no_such"):
        make("gone", JudgeSettings(), registry)


def test_the_guards_own_reading_reports_a_plugin_that_fails_as_an_error():
    judge = make("guard", JudgeSettings(), REGISTRY)
    assert judge.judge(Exchange("Q", "The sources contradict each other.")).mentions_conflict is True
    judge._languages = [object()]
    assert judge.judge(LABELLED[0].exchange).status is Status.ERROR


@pytest.mark.parametrize(
    ("change", "why"), [({"id": "a"}, "twice"), ({"says_conflict": 1}, "true or false"), ({"more": 1}, "more")]
)
def test_a_wrong_line_of_labelled_responses_is_named(change, why, tmp_path):
    good = {"id": "a", "language": "en", "question": "Q", "response": "R", "says_conflict": True, "kind": "plain"}
    good |= {"notes": "", "batch": 1}
    path = tmp_path / "responses.jsonl"
    path.write_text(f"{json.dumps(good)}\n{json.dumps({**good, 'id': 'b', **change})}\n", encoding="utf-8")
    with pytest.raises(InvalidRequest, match=f"response 2.*{why}"):
        load(path)


class Failing:
    """Fails on the first response it is asked, each time it is made."""

    name = "failing"
    produced_by = "failing 1"

    def __init__(self) -> None:
        self.asked: list[Exchange] = []

    def judge(self, exchange: Exchange) -> Judgement:
        self.asked.append(exchange)
        if len(self.asked) == 1:
            return Judgement(Status.ERROR, None, "not now")
        return Judgement(Status.PARSED, False)


def test_a_run_goes_on_where_it_was_and_asks_again_only_what_failed(tmp_path):
    labelled, out = LABELLED[:6], tmp_path / "out.jsonl"
    first, second, third = Failing(), Failing(), Failing()
    assert len(command._rows(labelled, first, out, 1)) == 6
    command._rows(labelled, second, out, 1)
    assert second.asked == [labelled[0].exchange]
    third.asked.append(labelled[0].exchange)
    rows = command._rows(labelled, third, out, 1)
    assert {row.status for row in rows.values()} == {"parsed"}
    assert len(third.asked) == 2
    other = Failing()
    other.produced_by = "failing 2"
    with pytest.raises(typer.BadParameter, match="another file"):
        command._rows(labelled, other, out, 1)


def test_the_command_measures_and_fails_on_what_was_not_judged_only_if_asked(tmp_path, capsys):
    long = replace(by_split("fresh")[0], response="x" * (LONGEST + 1))
    path = tmp_path / "responses.jsonl"
    path.write_text(json.dumps(vars(long)), encoding="utf-8")
    command.app(["measure", "--responses", str(path), "--split", "fresh"], standalone_mode=False)
    assert f"{long.id} verbose error" in capsys.readouterr().out
    assert command.app(["measure", "--responses", str(path), "--split", "", "--strict"], standalone_mode=False) == 1
