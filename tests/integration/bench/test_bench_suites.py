"""Conflict suites from cases to a table, with a tiny model in inspect_ai and the rule judge."""

import pytest
from inspect_ai import eval as evaluate
from inspect_ai.model import get_model
from typer.testing import CliRunner

from xmguard import Rebalance, Span
from xmguard.errors import InvalidRequest
from xmguard.request import Scope
from xmguard_research.benchmarks.asking import request_of
from xmguard_research.benchmarks.cases import Case, whole_items
from xmguard_research.benchmarks.clqa.items import items
from xmguard_research.benchmarks.clqa.suites import clqa, clqa_mini, of_items
from xmguard_research.benchmarks.command import app
from xmguard_research.benchmarks.missing import unasked
from xmguard_research.benchmarks.settings import Settings
from xmguard_research.benchmarks.suites import make, with_suites
from xmguard_research.benchmarks.summary import Key, Row, answered, cells, markdown
from xmguard_research.benchmarks.tasks import conflicts


def case(name, conflict):
    spans = (Span("s1", "The door is red.", language="en"), Span("s2", "It is green.", language="en"))
    return Case(f"{name}/{conflict}", name, "en-en", "Which colour is the door?", spans, conflict, ("red", "green"))


def test_cases_of_clqa_keep_order_languages_and_what_is_answered():
    (item,) = [one for one in items(1, chosen=[("en", "es")], sizes=["short"]) if one.swapped and one.conflict]
    (made,) = of_items([item])
    assert made.variant == "es-en"
    assert [span.language for span in made.spans] == ["es", "en"]
    assert [span.text for span in made.spans] == [paragraph.text for paragraph in item.paragraphs]
    assert made.conflict
    assert made.answers == item.answers
    assert made.item == item.topic


def test_the_mini_suite_is_balanced_and_asks_three_ways():
    samples = list(clqa_mini().dataset)
    assert len(samples) == 72
    assert len({sample.id for sample in samples}) == 72
    for prompt in ("standard", "instructed", "explicit"):
        own = [sample for sample in samples if sample.metadata["prompt"] == prompt]
        assert sum(sample.metadata["conflict"] for sample in own) == len(own) / 2 == 12
    assert {sample.metadata["variant"] for sample in samples} == {"en-en", "en-es", "es-en"}


def test_a_suite_takes_its_own_options_and_those_of_every_suite():
    task = clqa(topics=2, variants=["en-zh"], size="short", prompts="explicit", items=1, policy="fixed", epsilon=1)
    assert len(task.dataset) == 4
    assert {sample.metadata["variant"] for sample in task.dataset} <= {"en-zh", "zh-en"}
    request = request_of(task.dataset[0].input[0])
    assert request.rebalance == Rebalance("fixed", bias={"s2": 1.0}, scope=Scope.READERS)
    assert task.metadata == {"suite": "clqa", "setting": "fixed +1 on the later readers"}


def test_items_are_drawn_whole_the_same_way_each_time_and_keep_their_order():
    every = [case(str(number), conflict) for number in range(50) for conflict in (True, False)]
    drawn = whole_items(every, 7)
    assert drawn == whole_items(every, 7)
    assert [one.id for one in drawn] == [one.id for one in every if one in drawn]
    assert {one.item: sum(other.item == one.item for other in drawn) for one in drawn} == dict.fromkeys(
        (one.item for one in drawn), 2
    )
    assert len(drawn) == 14
    assert all(one in whole_items(every, 9) for one in drawn)
    assert whole_items(every, 99) == whole_items(every, None) == every


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"policy": "fixed"}, "what policy fixed needs"),
        ({"epsilon": 1.0}, "goes with policy fixed, not with none"),
        ({"prompts": "loud"}, "'loud' is not one of standard, instructed, explicit"),
        ({"judge": "oracle"}, "there is no 'oracle'"),
        ({"scope": "some"}, "'some' is not one of readers, all, generated"),
        ({"policy": "target", "parameters": "share"}, "'share' is not NAME=NUMBER"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, why):
    with pytest.raises(InvalidRequest, match=why):
        conflicts([case("a", True)], name="x", settings=Settings(**settings))


def test_an_option_that_a_suite_has_not_is_refused_with_those_it_has():
    with pytest.raises(InvalidRequest, match="no such option; it has topics, variants, size, seed, prompts"):
        make("clqa", {"topic": "3"}, with_suites())
    with pytest.raises(InvalidRequest, match="'three' is not int"):
        make("clqa", {"topics": "three"}, with_suites())
    with pytest.raises(InvalidRequest, match="'few' is not int"):
        make("clqa", {"topics": "3", "items": "few"}, with_suites())
    steered = make("clqa-mini", {"items": "1", "policy": "fixed", "epsilon": "1.5"}, with_suites())
    assert steered.metadata["setting"] == "fixed +1.5 on the later readers"
    assert len({sample.metadata["item"] for sample in steered.dataset}) == 1
    with pytest.raises(InvalidRequest, match="there is no 'qlca'; there are clqa"):
        make("qlca", {}, with_suites())
    assert len(make("clqa", {"topics": "1", "size": "short", "variants": "en-en"}, with_suites()).dataset) > 0


def test_a_run_of_a_tiny_model_becomes_a_table(tiny_folder, tmp_path):
    asked = conflicts([case("a", True), case("a", False)], name="doors", settings=Settings(prompts="standard"))
    (log,) = evaluate(asked, model=f"xmguard/{tiny_folder}", log_dir=str(tmp_path), display="none", max_tokens=4)
    assert log.status == "success", log.error
    rows = answered(tmp_path)
    model = f"xmguard/{tiny_folder}"
    assert {row.key for row in rows} == {Key("doors", model, "", "standard", "en-en", "says_conflict")}
    assert sorted(row.conflict for row in rows) == [False, True]
    assert {row.found for row in rows} == {False}  # four random bytes report nothing
    assert all(row.decision in ("CONFLICT", "CONSISTENT", "UNDETERMINED") for row in rows)
    found = {score.name: score.value for score in log.results.scores[0].metrics.values()}
    assert found == {"detection_rate": 0.0, "false_alarm_rate": 0.0, "unjudged": 0.0}
    assert "| doors | xmguard/" in markdown(rows)


def test_another_setting_in_the_same_folder_is_kept_apart(tiny_folder, tmp_path):
    for settings in (Settings(prompts="standard"), Settings(prompts="standard", policy="fixed", epsilon=2.0)):
        asked = conflicts([case("a", True)], name="doors", settings=settings)
        evaluate(asked, model=f"xmguard/{tiny_folder}", log_dir=str(tmp_path), display="none", max_tokens=2)
    assert [row.key.setting for row in answered(tmp_path)] == ["", "fixed +2 on the later readers"]
    assert {row.not_steered for row in answered(tmp_path)} == {""}


def test_other_data_and_a_model_loaded_otherwise_are_kept_apart(tiny_folder, tmp_path):
    for seed in (0, 1):
        told = {"topics": "1", "variants": "en-en", "size": "short", "seed": str(seed), "prompts": "standard"}
        asked = make("clqa", told, with_suites())
        model = get_model(f"xmguard/{tiny_folder}", memoize=False, **({"dtype": "bfloat16"} if seed else {}))
        evaluate(asked, model=model, log_dir=str(tmp_path), display="none", max_tokens=2, limit=1)
    first, second = answered(tmp_path)
    data = "clqa · seed={}, size=short, topics=1, variants=en-en"
    assert [first.key.suite, second.key.suite] == [data.format(0), data.format(1)]
    assert second.key.model == f"{first.key.model} · dtype=bfloat16"
    assert unasked(tmp_path, [first, second]) == []  # a limit leaves nothing unasked
    (gap,) = unasked(tmp_path, [first])
    assert (gap.suite, gap.samples) == (data.format(1), 1)


def test_what_failed_is_a_row_that_says_why(tiny_folder, tmp_path):
    late = conflicts([case("a", True)], name="doors", settings=Settings(prompts="standard", parameters="loud=1"))
    model = f"xmguard/{tiny_folder}"
    evaluate(late, model=model, log_dir=str(tmp_path), display="none", max_tokens=2, fail_on_error=False)
    (row,) = answered(tmp_path)
    assert "loud" in row.failed
    assert row.found is None
    (cell,) = cells([row]).values()
    assert (cell.failed, cell.unjudged) == (1, 0)
    assert cell.rate(True) is None


def row(item, conflict, found, decision="CONFLICT", prompt="standard", failed="", measure="says_conflict", check="OK"):
    key = Key("s", "m", "", prompt, "en-en", measure)
    return Row(key, f"{item}/{conflict}", item, conflict, found, decision, failed, check=check)


def test_what_was_not_judged_is_counted_and_is_no_no():
    (cell,) = cells([row("a", True, True), row("b", True, None), row("a", False, False)]).values()
    assert cell.rate(True).value == 1.0
    assert cell.unjudged == 1
    assert cell.called(True).value == 1.0
    assert cell.called(False).value == 1.0  # a verdict of CONFLICT on a control is a false alarm
    (nothing,) = cells([row("a", True, None)]).values()
    assert nothing.rate(True) is None


def test_agreement_of_few_items_has_a_wide_interval():
    (cell,) = cells([row("a", True, True), row("b", True, True)]).values()
    assert cell.rate(True).high == 1.0
    assert cell.rate(True).low < 0.5


def test_what_has_no_verdict_is_counted_of_a_model_that_gives_some():
    (some_,) = cells([row("a", True, True), row("b", True, True, decision=None, check="ERROR")]).values()
    assert some_.unchecked == 1
    (others,) = cells([row("a", True, True, decision=None, check="")]).values()
    assert others.unchecked == 0  # a model that gives no verdicts at all
    (broken,) = cells([row("a", True, True, decision=None, check="ERROR")]).values()
    assert broken.unchecked == 1  # a check that never came to anything is no model without verdicts


def test_what_was_to_be_steered_and_was_not_is_counted(tiny_folder, tmp_path):
    settings = Settings(prompts="standard", policy="fixed", epsilon=0.0)
    evaluate(
        conflicts([case("a", True)], name="doors", settings=settings),
        model=f"xmguard/{tiny_folder}",
        log_dir=str(tmp_path),
        display="none",
        max_tokens=2,
    )
    (missed,) = answered(tmp_path)
    assert "every epsilon is 0" in missed.not_steered
    (cell,) = cells([missed]).values()
    assert cell.unsteered == 1
    assert "not steered" in markdown([missed])


def test_orders_and_prompts_are_not_pooled():
    assert len(cells([row("a", True, True), row("a", True, True, prompt="explicit")])) == 2


def test_measures_other_than_detection_stand_in_a_table_of_their_own():
    shown = markdown([row("a", None, True, measure="correct"), row("b", None, False, measure="correct")])
    assert "conflicts said" not in shown
    assert "| s | m |  | standard | en-en | correct | 50% [" in shown


def test_a_folder_without_logs_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no log of inspect_ai"):
        answered(tmp_path)
    ended = CliRunner().invoke(app, ["table", "--log-dir", str(tmp_path)])
    assert "xmguard bench run writes some" in str(ended.exception)


def test_the_list_shows_suites_and_the_options_of_one():
    every = CliRunner().invoke(app, ["list"])
    assert "clqa-mini" in every.output
    one = CliRunner().invoke(app, ["list", "clqa"])
    assert "topics" in one.output
    assert "epsilon" in one.output


def test_the_command_shows_its_own_run_and_not_what_else_is_in_the_folder(tiny_folder, tmp_path):
    other = conflicts([case("a", True)], name="doors", settings=Settings(prompts="standard"))
    evaluate(other, model=f"xmguard/{tiny_folder}", log_dir=str(tmp_path), display="none", max_tokens=2)
    told = ["run", "clqa-mini", "--model", str(tiny_folder), "--log-dir", str(tmp_path), "--prompts", "standard"]
    ended = CliRunner().invoke(app, [*told, "--items", "1", "--strict"])
    assert ended.exit_code == 0, ended.output
    assert "8 responses, 0 not judged, 0 failed" in ended.output
    assert ended.output.strip().endswith(f"xmguard bench report {tmp_path}")
    assert "doors" not in ended.output
    everything = CliRunner().invoke(app, ["table", "--log-dir", str(tmp_path)])
    assert "doors" in everything.output
    assert "clqa-mini" in everything.output
