"""Suites that measure what is said, end to end: tiny models in inspect_ai, and tables of rates and numbers."""

from importlib.metadata import entry_points

import pytest
from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import MemoryDataset
from inspect_ai.model import ContentImage, ModelAPI, ModelOutput, modelapi

from tests.integration.bench.art import require_art
from xmguard.errors import InvalidRequest
from xmguard.request import Rebalance
from xmguard.testing.tiny_pictures import make_picture_model
from xmguard_research.benchmarks import derived
from xmguard_research.benchmarks.asking import request_of
from xmguard_research.benchmarks.iseval.suites import GUIDE, iseval
from xmguard_research.benchmarks.mmir.suites import mmir
from xmguard_research.benchmarks.modality_conflict.suites import modality_conflict
from xmguard_research.benchmarks.suites import with_suites
from xmguard_research.benchmarks.summary import answered, markdown
from xmguard_research.benchmarks.xmodbench.suites import xmodbench


def run(task, model, folder, first, last, **options):
    """The rows of some of a task's samples."""
    chosen = MemoryDataset(list(task.dataset)[first:last], name=task.name)
    task = Task(chosen, scorer=task.scorer, config=task.config, name=task.name, metadata=task.metadata)
    (log,) = evaluate(task, model=model, log_dir=str(folder), display="none", **options)
    assert log.status == "success", log.error
    return answered(folder)


@modelapi(name="parrot")
class Parrot(ModelAPI):
    """A model of another provider: it looks at nothing, and always says the same."""

    async def generate(self, input, tools, tool_choice, config):  # noqa: A002  # inspect's own name
        return ModelOutput.from_content(self.model_name, self.model_name)


def test_flawed_premises_in_words_are_asked_of_a_tiny_model(tiny_folder, tmp_path):
    require_art()
    rows = run(iseval(per_category=1), f"xmguard/{tiny_folder}", tmp_path, 0, 4, max_tokens=2)
    assert {(row.key.variant, row.key.prompt) for row in rows} == {
        ("exclusive text", prompt) for prompt in ("spontaneous", "guided")
    }
    assert {row.key.measure for row in rows} == {"names_flaw", "flaw_in_sound"}
    assert {row.found for row in rows} == {False}
    assert "| names_flaw | 0% [" in markdown(rows)
    assert "conflicts said" not in markdown(rows)  # with one source nobody asks
    assert "| iseval | xmguard/" in derived.markdown(rows, with_suites())


def test_a_model_of_another_provider_reads_picture_text_and_question(tmp_path):
    require_art()
    task = iseval(per_category=1, asked="guided")
    _, shown, told = task.dataset[2].input[0].content
    assert isinstance(shown, ContentImage)
    assert GUIDE in told.text
    assert request_of(task.dataset[2].input[0]).spans[1].text in told.text
    rows = run(task, "parrot/The numbers contradict each other.", tmp_path, 0, 4)
    (sedr, alarms, of_category) = derived.numbers(rows, with_suites())[
        "iseval", "parrot/The numbers contradict each other.", ""
    ]
    assert (sedr.name, sedr.estimate.value, sedr.rows) == ("GEDR", 1.0, 2)
    assert (alarms.estimate.value, of_category.name) == (1.0, "GEDR, exclusive")


def test_a_bias_goes_where_there_are_two_sources():
    require_art()
    task = iseval(per_category=1, items=1, asked="guided", policy="fixed", epsilon=1)
    asked = [request_of(sample.input[0]) for sample in task.dataset]
    assert [one.rebalance.bias for one in asked] == [{}, {}, {"s2": 1.0}, {"s2": 1.0}]
    assert asked[0].rebalance == Rebalance("none")


def test_a_bias_on_the_later_source_is_on_the_last_of_five():
    require_art()
    task = xmodbench(per_subtask=1, items=1, policy="fixed", epsilon=1)
    asked = request_of(task.dataset[0].input[0])
    assert len(asked.spans) == 5
    assert asked.rebalance.bias == {"s5": 1.0}


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: iseval(per_category=0, prompts="explicit"), "prompts of its own"),
        (lambda: iseval(per_category=0, protocol="paper"), "protocol: suite iseval asks in words of its own"),
        (lambda: iseval(per_category=0, pairing="figure5"), "pairing: suite iseval asks in words of its own"),
        (lambda: iseval(per_category=0, asked="loud"), "'loud' is not one of spontaneous, guided"),
        (lambda: xmodbench(per_subtask=0, judge="openai"), "rules of its own; 'openai'"),
    ],
)
def test_what_a_suite_of_probes_would_not_heed_is_refused(made, why):
    with pytest.raises(InvalidRequest, match=why):
        made()


def test_each_modality_alone_and_both_together_give_a_following_rate(tmp_path):
    task = modality_conflict(shapes=1)
    colour = task.dataset[1].metadata["facts"]["text"]
    rows = run(task, f"parrot/It is {colour}.", tmp_path, 0, None)
    said = {
        one.name: one
        for one in derived.numbers(rows, with_suites())["modality-conflict", f"parrot/It is {colour}.", ""]
    }
    assert said["TFR, image first"].estimate.value is None  # the picture alone is never right
    assert said["TFR, text first"].note == "0 follow neither, 9 not right in both alone"
    told = [row for row in rows if row.key.variant == "text hard"]
    assert [(row.key.measure, row.found) for row in told] == [("names_text_value", True)]
    assert "| modality-conflict | parrot/It is" in markdown(rows)


def test_a_tiny_model_says_how_sure_it_is_of_a_text_alone(tiny_folder, tmp_path):
    (row,) = run(modality_conflict(shapes=1), f"xmguard/{tiny_folder}", tmp_path, 1, 2, max_tokens=2)
    assert row.key.variant == "text easy"
    assert row.amounts["entropy"] > 0


def test_a_question_in_four_directions_gives_accuracies_and_a_gap(tmp_path):
    require_art()
    task = xmodbench(per_subtask=1, items=2)
    first, *options, question = task.dataset[1].input[0].content
    assert request_of(task.dataset[1].input[0]).spans[0].text in first.text
    assert [type(one) for one in options] == [ContentImage] * 4
    assert "Answer with one letter." in question.text
    letters = [sample.metadata["facts"]["right"] for sample in task.dataset]
    rows = run(task, f"parrot/{'ABCD'[letters[0]]}", tmp_path, 0, None)
    (own,) = derived.numbers(rows, with_suites()).values()
    said = {one.name: one.estimate.value for one in own}
    assert said["accuracy, text to image"] == letters[::4].count(letters[0]) / 2
    assert said["directional gap, text to image minus image to text"] == 0
    assert own[0].note == "0 of 8 responses choose no option"


def test_a_tiny_model_looks_at_a_page_and_is_scored(tmp_path, monkeypatch):
    require_art()
    if "image" not in entry_points(group="xmguard").names:
        pytest.skip("xmguard-image is not installed")
    monkeypatch.setenv("XMGUARD_PLUGINS", "image")
    folder = make_picture_model(tmp_path / "model", "Llava")
    rows = run(mmir(per_relation=1), f"xmguard/{folder}", tmp_path / "logs", 0, 4, max_tokens=2)
    said = {(row.key.measure, row.key.variant, row.conflict): row.found for row in rows}
    assert said == {
        ("says_conflict", "factual", True): False,
        ("says_conflict", "factual", False): False,
        ("names_both", "factual", True): False,
        ("chooses_both", "factual", None): False,
        ("leaves_alone", "factual", None): False,
    }
    (own,) = derived.numbers(rows, with_suites()).values()
    assert {one.name for one in own} >= {"open accuracy", "choice score, factual", "choice, controls left alone"}
