"""Models of ours under inspect_ai: in this process and behind a real server."""

from dataclasses import replace

import pytest
from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessageUser, ContentImage, GenerateConfig, get_model

from tests.scripted import serving
from xmguard import AnswerRequest, Media, Span
from xmguard.context import ENGLISH
from xmguard.errors import InvalidRequest
from xmguard.request import Prompt
from xmguard_research.benchmarks.asking import message, request_of
from xmguard_research.benchmarks.providers import response_of

SPANS = (Span("a", "The door is red.", language="en"), Span("b", "The door is green.", language="en"))
REQUEST = AnswerRequest(spans=SPANS, question="Which colour is the door?", prompt=Prompt.INSTRUCTED)


@pytest.fixture
def said(registry):
    return registry.languages.items[ENGLISH].prompt_text


def test_every_model_reads_the_sources_in_order_and_then_the_task(said):
    picture = Span("p", media=Media("image/png", b"\x89PNG"))
    made = message(AnswerRequest(spans=(SPANS[0], picture), question="Which?", prompt=Prompt.STANDARD), said)
    text, image, task = made.content
    assert text.text == f"{said.preamble}The door is red.{said.separator}"
    assert isinstance(image, ContentImage)
    assert image.image == "data:image/png;base64,iVBORw=="
    assert task.text == said.tasks[Prompt.STANDARD].replace("{question}", "Which?")


def test_the_bytes_of_pictures_travel_once_and_arrive_where_they_were(said):
    first, second = (Span(name, media=Media("image/png", b"\x89PNG" + name.encode())) for name in "pq")
    asked = replace(REQUEST, spans=(first, SPANS[0], second))
    made = message(asked, said)
    assert made.model_dump_json().count("iVBOR") == 2
    assert request_of(made).spans == asked.spans


def test_the_request_travels_with_the_message(said):
    carried = request_of(message(REQUEST, said))
    assert (carried.spans, carried.question, carried.prompt) == (SPANS, REQUEST.question, Prompt.INSTRUCTED)
    assert request_of(ChatMessageUser(content="Hello")) is None


def run(model, said, folder) -> EvalLog:
    samples = [Sample(id="door", input=[message(REQUEST, said)], target="red")]
    (log,) = evaluate(Task(samples), model=model, log_dir=str(folder), display="none", max_retries=0)
    return log


def test_a_model_in_this_process_answers_with_verdict_and_contributions(tiny_folder, said, tmp_path):
    model = get_model(f"xmguard/{tiny_folder}", config=GenerateConfig(max_tokens=3), memoize=False)
    log = run(model, said, tmp_path)
    assert log.status == "success", log.error
    (sample,) = log.samples
    response = response_of(sample.output)
    assert sample.output.completion == response.raw_answer
    assert [span.span_id for span in response.spans] == ["a", "b"]
    assert response.verdict.status.name == "OK"
    assert response.usage.completion_tokens <= 3 == sample.output.usage.output_tokens


def test_a_model_behind_a_server_answers_the_same_way(said, tmp_path):
    with serving() as server:
        model = get_model(f"xmguard-server/{server.address}", memoize=False)
        log = run(model, said, tmp_path)
    assert log.status == "success", log.error
    (sample,) = log.samples
    assert sample.output.completion == REQUEST.question  # the scripted guard's words
    assert response_of(sample.output).verdict.decision.name == "CONFLICT"


def test_a_server_that_is_not_there_is_a_sample_that_failed(said, tmp_path):
    samples = [Sample(id="door", input=[message(REQUEST, said)], target="red")]
    model = get_model("xmguard-server/127.0.0.1:9", memoize=False, timeout=2.0)
    how = {"log_dir": str(tmp_path), "display": "none", "max_retries": 0, "fail_on_error": False}
    (log,) = evaluate(Task(samples), model=model, **how)
    assert "127.0.0.1:9" in log.samples[0].error.message


@pytest.mark.anyio
async def test_a_chat_without_a_request_is_refused(tiny_folder):
    model = get_model(f"xmguard/{tiny_folder}", memoize=False)
    with pytest.raises(InvalidRequest, match="must end with a request of xmguard's suites"):
        await model.api.generate([ChatMessageUser(content="Hello")], [], "none", GenerateConfig())
