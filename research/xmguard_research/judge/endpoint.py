"""Asks a model behind an OpenAI-compatible endpoint for a text or a picture, by the `openai` client, which retries.

Timeouts, refused connections, 408, 409, 429 and 5xx are tried again, after the time that the server names if it names
one. The body is read here and not by the client, which takes other things than chat completions for one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xmguard.errors import FieldViolation, InvalidRequest, SetupIncomplete
from xmguard_research.judge.asking import Completion, NoReply, PromptedJudge, Refused
from xmguard_research.judge.prompts import TEMPLATE, JudgePrompt, from_file
from xmguard_research.judge.settings import JudgeSettings

KEY_VARIABLE = "OPENAI_API_KEY"
TIMEOUT = 60.0
RETRIES = 4
REQUEST = {"temperature": 0}
"""Unless the settings give a `request`, which replaces it whole: some models refuse a temperature."""
OURS = frozenset(("model", "messages", "prompt", "n", "stream"))
REFUSALS = frozenset(("content_policy_violation", "moderation_blocked", "content_filter", "contentFilter"))
"""Codes with which providers say in a 400 that it is for what was asked; other 400s may be mended."""


def make(settings: JudgeSettings) -> PromptedJudge:
    """The judge `openai`; the key is read from the environment, and a server that needs none gets a placeholder.

    Raises:
        InvalidRequest: `base_url` or `model` is missing or useless, or the template cannot be filled.
        SetupIncomplete: the client is not installed.
    """
    retries = RETRIES if settings.retries is None else settings.retries
    timeout = TIMEOUT if settings.timeout is None else settings.timeout
    prompt = JudgePrompt(TEMPLATE) if settings.judge_file is None else from_file(settings.judge_file)
    request = dict(REQUEST if settings.request is None else settings.request)
    endpoint = Endpoint(settings.base_url, settings.model, timeout, retries, request)
    made_of = f"openai {settings.model} at {settings.base_url} {json.dumps(request, sort_keys=True)}"
    return PromptedJudge("openai", made_of, prompt, endpoint.complete, retries=retries)


class Endpoint:
    """One model of one endpoint. Thread-safe."""

    def __init__(self, base_url: str, model: str, timeout: float, retries: int, request: dict[str, Any]) -> None:
        """`timeout` in seconds per attempt, `retries` further attempts after the first, `request` more fields."""
        wrong = [
            FieldViolation(name, fault)
            for name, fault, found in (
                ("base_url", "must begin with http:// or https://", not base_url.startswith(("http://", "https://"))),
                ("model", "name the model as the endpoint does", not model),
                ("timeout", "must be more than 0 seconds", not timeout > 0),
                ("retries", "must not be negative", retries < 0),
                ("request", f"{', '.join(sorted(OURS))} are not for it", OURS & set(request)),
            )
            if found
        ]
        if wrong:
            raise InvalidRequest(wrong)
        try:
            import openai
        except ImportError as error:
            raise SetupIncomplete("judge 'openai' needs the openai client: pip install 'xmguard[research]'") from error
        self._failures = (openai.OpenAIError, UnicodeError)  # a response may hold what UTF-8 cannot
        self._client: Any = openai.OpenAI(
            base_url=base_url,
            api_key=os.environ.get(KEY_VARIABLE) or "none",
            timeout=timeout,
            max_retries=retries,
        )
        self._model, self._request, self._retries = model, request, retries

    def complete(self, prompt: str | Sequence[Mapping[str, Any]]) -> Completion:
        """The model's reply to a prompt: a text, or parts as the chat API has them.

        Raises:
            NoReply: there was none after every attempt; `Refused` if the provider will give none.
        """
        raw = self._sent(
            lambda: self._client.chat.completions.with_raw_response.create(
                model=self._model, messages=[{"role": "user", "content": prompt}], extra_body=self._request
            )
        )
        body = raw.http_response.text
        text, malformed = _content(body)
        return Completion(text, 1 + raw.retries_taken, malformed, *_tokens(body))

    def draw(self, prompt: str) -> Completion:
        """A picture that the model drew, in base64. Tokens are not counted: pictures have prices of their own.

        Raises:
            NoReply: there was none after every attempt; `Refused` if the provider will draw none.
        """
        raw = self._sent(
            lambda: self._client.images.with_raw_response.generate(
                model=self._model, prompt=prompt, extra_body=self._request
            )
        )
        text, malformed = _picture(raw.http_response.text)
        return Completion(text, 1 + raw.retries_taken, malformed)

    def _sent(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except self._failures as error:
            # The client does not say how often it tried; only what it does not retry comes back after one attempt.
            kind = Refused if _refused(error) else NoReply
            raise kind(f"{type(error).__name__}: {error}", 1 + (self._retries if _retried(error) else 0)) from error


def _refused(error: Any) -> bool:
    return getattr(error, "status_code", None) == 400 and getattr(error, "code", None) in REFUSALS


def _retried(error: Any) -> bool:
    status = getattr(error, "status_code", None)
    return status is None or status in (408, 409, 429) or status >= 500


def _content(body: str) -> tuple[str, str]:
    """The text of a chat completion, or why there is none."""
    try:
        choice = json.loads(body)["choices"][0]
        content = choice["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return "", f"the endpoint's answer is no chat completion: {body[:80]!r}"
    if type(content) is not str or not content.strip():
        return "", f"the completion holds no text (finish_reason {choice.get('finish_reason')!r})"
    return content, ""


def _picture(body: str) -> tuple[str, str]:
    """The base64 of the one picture of an answer, or why there is none."""
    try:
        (picture,) = json.loads(body)["data"]
        found = picture.get("b64_json")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", f"the endpoint's answer is no picture: {body[:80]!r}"
    if type(found) is not str or not found:
        return (
            "",
            f"the answer holds no b64_json but {', '.join(picture) or 'nothing'}; ask for response_format b64_json",
        )
    return found, ""


def _tokens(body: str) -> tuple[int, int]:
    """Tokens read and written, where the body says."""
    try:
        usage = json.loads(body)["usage"]
        return int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0, 0
