"""Conflict suites from cases to a table, with a tiny model in inspect_ai and the rule judge."""

import gc

import pytest
from inspect_ai import eval as evaluate

from xmguard import Span
from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.cases import Case, of_clqa
from xmguard_research.benchmarks.clqa.items import items
from xmguard_research.benchmarks.summary import Answered, answered, cells, markdown
from xmguard_research.benchmarks.tasks import clqa_mini, conflicts

pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _collected():
    """What inspect_ai leaves open is collected here, not in some other test that then fails for it."""
    yield
    gc.collect()


def case(name, conflict):
    spans = (Span("s1", "The door is red.", language="en"), Span("s2", "It is green.", language="en"))
    return Case(f"{name}/{conflict}", name, "en-en", "Which colour is the door?", spans, conflict, ("red", "green"))


def test_cases_of_clqa_keep_order_languages_and_what_is_answered():
    (item,) = [one for one in items(1, chosen=[("en", "es")], sizes=["short"]) if one.swapped and one.conflict]
    (made,) = of_clqa([item])
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


def test_what_does_not_go_together_is_refused():
    with pytest.raises(InvalidRequest, match="policy fixed"):
        conflicts([case("a", True)], name="x", policy="fixed")
    with pytest.raises(InvalidRequest, match="'loud' is not one of standard, instructed, explicit"):
        conflicts([case("a", True)], name="x", prompts="loud")
    with pytest.raises(InvalidRequest, match="there is no 'oracle'"):
        conflicts([case("a", True)], name="x", judge="oracle")


def test_a_run_of_a_tiny_model_becomes_a_table(tiny_folder, tmp_path):
    asked = conflicts([case("a", True), case("a", False)], name="doors", prompts="standard")
    (log,) = evaluate(asked, model=f"xmguard/{tiny_folder}", log_dir=str(tmp_path), display="none", max_tokens=4)
    assert log.status == "success", log.error
    rows = answered(tmp_path)
    assert [(row.suite, row.prompt, row.variant, row.item) for row in rows] == [("doors", "standard", "en-en", "a")] * 2
    assert sorted(row.conflict for row in rows) == [False, True]
    assert {row.reported for row in rows} == {False}  # four random bytes report nothing
    assert all(row.decision in ("CONFLICT", "CONSISTENT", "UNDETERMINED") for row in rows)
    found = {score.name: score.value for score in log.results.scores[0].metrics.values()}
    assert found == {"detection_rate": 0.0, "false_alarm_rate": 0.0, "unjudged": 0.0}
    assert "| doors | xmguard/" in markdown(rows)


def row(item, conflict, reported, decision="CONFLICT"):
    return Answered("s", "m", "standard", "en-en", item, conflict, reported, decision)


def test_what_was_not_judged_is_counted_and_is_no_no():
    (cell,) = cells([row("a", True, True), row("b", True, None), row("a", False, False)]).values()
    assert cell.judged.sensitivity == 1.0
    assert cell.judged.unjudged_conflicts == 1
    assert cell.rate(True).value == 1.0
    assert cell.rate(True, verdict=True).value == 1.0
    assert cell.rate(False, verdict=True).value == 1.0  # a verdict of CONFLICT on a control is a false alarm
    assert cells([row("a", True, None)])["s", "m", "standard", "en-en"].rate(True) is None


def test_orders_and_prompts_are_not_pooled():
    other = Answered("s", "m", "explicit", "en-en", "a", True, True, None)
    assert len(cells([row("a", True, True), other])) == 2


def test_a_folder_without_logs_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no log of inspect_ai"):
        answered(tmp_path)
