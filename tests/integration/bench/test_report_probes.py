"""The report of a suite that measures what is said, where not every sample has two sources or a response."""

import json

import pytest
from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import MemoryDataset
from inspect_ai.model import ModelAPI, ModelOutput, modelapi

from xmguard_research.benchmarks.modality_conflict.suites import modality_conflict
from xmguard_research.reports.writing import PAGE, write

SEEN, READ, BOTH = "image easy", "text easy", "image easy + text easy"


@modelapi(name="blind")
class Blind(ModelAPI):
    """Reads words alone."""

    async def generate(self, input, tools, tool_choice, config):  # noqa: A002  # inspect's own name
        if self.model_name == "strict" and any(part.type == "image" for part in input[-1].content):
            raise ValueError("it cannot read pictures")
        return ModelOutput.from_content(self.model_name, "Red.")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Of a model asked of one source alone, of one asked of two as well, and of one that fails at pictures."""
    folder = tmp_path_factory.mktemp("logs")
    made = modality_conflict(items=1)
    for model, variants in (("alone", {SEEN, READ}), ("both", {SEEN, READ, BOTH}), ("strict", {SEEN, READ, BOTH})):
        samples = [sample for sample in made.dataset if sample.metadata["variant"] in variants]
        assert {sample.metadata["variant"] for sample in samples} == variants
        dataset = MemoryDataset(samples, name=made.name)
        task = Task(dataset, scorer=made.scorer, config=made.config, name=made.name, metadata=made.metadata)
        evaluate(task, model=f"blind/{model}", log_dir=str(folder), display="none", fail_on_error=False)
    return write(folder, folder / "report").parent


def test_what_nobody_asks_for_a_conflict_is_in_no_detection_even_if_it_failed(report):
    told = json.loads((report / "results.json").read_text())
    cells = {(cell["model"], cell["measure"], cell["variant"]): cell for cell in told["cells"]}
    detecting = [(model, variant) for model, measure, variant in cells if measure == "says_conflict"]
    assert detecting == [("blind/both", BOTH), ("blind/strict", BOTH)]
    assert cells["blind/strict", "says_conflict", BOTH]["failed"] == 2
    kinds = {cell["variant"]: cell["kind"] for cell in told["cells"]}
    assert kinds == {SEEN: "one source", READ: "one source", BOTH: "cross-modal"}
    assert "3 that failed" in (report / "summary.md").read_text()  # each once, not once for each scorer
    assert [path.name for path in report.glob("figures/*detection.svg")] == ["02-detection.svg"]


def test_the_page_has_the_suites_own_numbers_of_the_runs_that_have_some(report):
    told = json.loads((report / "results.json").read_text())["numbers"]
    assert {one["model"] for one in told} == {"blind/both"}
    assert "TFR, image first" in [one["number"] for one in told]
    page = (report / PAGE).read_text()
    assert page.count("The suite's own numbers") == 1
    assert page.count("Detection and false alarms") == 2  # without a response there is a table, and no figure
    assert "| modality-conflict | blind/both | as it comes | TFR, image first | " in (report / "summary.md").read_text()
