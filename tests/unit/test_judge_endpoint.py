"""The judge behind an OpenAI-compatible endpoint, against a real HTTP server that misbehaves in every way named."""

import sys
from collections.abc import Iterator

import pytest

from tests.judge_endpoint import BODIES, STATUSES, YES, Endpoint, serving
from xmguard.errors import InvalidRequest, SetupIncomplete
from xmguard_research.judge.settings import JudgeSettings, make, with_judges
from xmguard_research.judge.values import Exchange, Judgement, Status

REGISTRY = with_judges()
ASKED = Exchange("When was it built?", "The first text says 1904, the second 1911. ¿Äé? 矛盾")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    pytest.importorskip("openai", reason="the openai client of the extra research is not installed")
    with serving() as server:
        yield server


def judged(endpoint: Endpoint, model: str, *, retries: int = 0, timeout: float = 5, **more: object) -> Judgement:
    settings = JudgeSettings(endpoint.url, model, retries=retries, timeout=timeout, **more)
    return make("openai", settings, REGISTRY).judge(ASKED)


def test_a_correct_reply_is_read_and_the_exchange_arrives_whole(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert judged(endpoint, "right") == Judgement(Status.PARSED, True, reply=YES)
    asked = endpoint.requests[-1]
    assert asked["temperature"] == 0
    assert [message["role"] for message in asked["messages"]] == ["user"]
    assert ASKED.response in asked["messages"][0]["content"]
    assert endpoint.keys[-1] == "Bearer secret"


def test_fields_of_the_request_replace_the_judges_own(endpoint):
    judged(endpoint, "right", request={"max_tokens": 9})
    assert {"max_tokens": 9}.items() <= endpoint.requests[-1].items()
    assert "temperature" not in endpoint.requests[-1]


@pytest.mark.parametrize("behaviour", ["limited", "down", "away"])
def test_what_may_pass_is_tried_again(endpoint, behaviour):
    judgement = judged(endpoint, f"{behaviour} 2", retries=2)
    assert judgement == Judgement(Status.PARSED, True, reply=YES, attempts=3)


@pytest.mark.parametrize(("behaviour", "attempts"), [("limited", 2), ("down", 2), ("unknown", 1)])
def test_what_does_not_pass_is_an_error_and_is_not_tried_for_ever(endpoint, behaviour, attempts):
    before = len(endpoint.requests)
    judgement = judged(endpoint, behaviour, retries=1)
    assert (judgement.status, judgement.attempts) == (Status.ERROR, attempts)
    assert str(STATUSES[behaviour]) in judgement.reason
    assert len(endpoint.requests) - before == attempts


def test_a_timeout_is_an_error_and_passes(endpoint):
    judgement = judged(endpoint, "slow", timeout=0.2)
    assert (judgement.status, judgement.attempts) == (Status.ERROR, 1)
    assert "timed out" in judgement.reason
    assert judged(endpoint, "slow 1", timeout=0.2, retries=1).mentions_conflict is True


def test_a_server_that_is_not_there_or_hangs_up_is_an_error(endpoint):
    nowhere = JudgeSettings("http://127.0.0.1:9/v1", "m", retries=0, timeout=2)
    assert make("openai", nowhere, REGISTRY).judge(ASKED).status is Status.ERROR
    assert judged(endpoint, "hangup").status is Status.ERROR


@pytest.mark.parametrize("behaviour", sorted(BODIES))
def test_garbage_is_malformed_and_not_a_no(endpoint, behaviour):
    judgement = judged(endpoint, behaviour)
    assert (judgement.status, judgement.mentions_conflict) == (Status.MALFORMED, None)
    assert judgement.reason


def test_garbage_is_asked_for_again(endpoint):
    judgement = judged(endpoint, "html 1", retries=1)
    assert (judgement.mentions_conflict, judgement.attempts) == (True, 2)


def test_a_response_that_cannot_be_sent_is_an_error(endpoint):
    settings = JudgeSettings(endpoint.url, "right", retries=0)
    judge = make("openai", settings, REGISTRY)
    assert judge.judge(Exchange("Q", "half a pair: \ud800")).status is Status.ERROR


def test_every_setting_that_is_wrong_is_named():
    settings = JudgeSettings("localhost", retries=-1, timeout=0, request={"stream": True})
    with pytest.raises(InvalidRequest) as refused:
        make("openai", settings, REGISTRY)
    assert [one.field for one in refused.value.violations] == ["base_url", "model", "timeout", "retries", "request"]


def test_without_the_client_the_judge_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(SetupIncomplete, match="pip install"):
        make("openai", JudgeSettings("http://localhost/v1", "m"), REGISTRY)
