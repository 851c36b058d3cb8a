"""From the body of a chat completion to a request of the guard.

The mapping is from JSON to the contract's own JSON, which `xmguard.wire` then reads, so that types and paths of errors
are the contract's. What the guard has nothing for is refused by name. Whether the request makes sense is for the guard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from xmguard import wire
from xmguard.errors import FieldViolation, InvalidRequest, member
from xmguard.request import AnswerRequest
from xmguard.wire.jsontext import MAX_PROBLEMS

MAPPED = ("model", "messages", "max_completion_tokens", "max_tokens", "temperature", "seed", "xmguard")
STREAMING = ("stream", "stream_options")

ACCEPTED = (
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "user",
)
"""Fields that change no answer anywhere. They are taken, and a warning of the response says that they did nothing."""

REFUSED: Mapping[str, tuple[object, str]] = {
    "audio": (None, "answers are text"),
    "frequency_penalty": (0, "tokens are drawn by temperature alone"),
    "function_call": ("none", "the guard calls no tools"),
    "functions": ([], "the guard calls no tools"),
    "logit_bias": ({}, "attention is what can be steered: see xmguard.rebalance"),
    "logprobs": (False, "the verdict's evidence is in the response's xmguard object"),
    "modalities": (["text"], "answers are text"),
    "n": (1, "a request has one answer"),
    "prediction": (None, "answers are decoded from their beginning"),
    "presence_penalty": (0, "tokens are drawn by temperature alone"),
    "reasoning_effort": (None, "the guard asks the model as its prompt says"),
    "response_format": ({"type": "text"}, "answers are plain text"),
    "stop": ([], "an answer ends where the model ends it, or at max_completion_tokens"),
    "store": (False, "nothing is kept"),
    "tool_choice": ("none", "the guard calls no tools"),
    "tools": ([], "the guard calls no tools"),
    "top_logprobs": (0, "the verdict's evidence is in the response's xmguard object"),
    "top_p": (1, "tokens are drawn by temperature alone"),
    "verbosity": (None, "an answer's length is bounded by max_completion_tokens"),
    "web_search_options": (None, "the guard reads what it is sent, and fetches nothing"),
}
"""What cannot be mapped: the one value beside null that says the same as nothing, and why any other is refused."""

_ELSEWHERE = {
    "model": "model",
    "question": "the plain text of the user message",
    "decoding": "max_completion_tokens, temperature and seed",
}
"""Fields of AnswerRequest that a chat completion has its own places for."""

_DATA_URL = "data:"


@dataclass(frozen=True)
class ChatRequest:
    """A chat completion, understood."""

    request: AnswerRequest
    stream: bool
    include_usage: bool
    """Whether a stream ends with a chunk of its usage."""
    warnings: tuple[str, ...]


def read_chat_request(body: bytes) -> ChatRequest:
    """The request in a body.

    Raises:
        InvalidRequest: with every field that is refused, misplaced or of the wrong type.
    """
    data = wire.parse_json(body)
    if not isinstance(data, dict):
        raise InvalidRequest.field("request", "must be a JSON object")
    given = {name: value for name, value in data.items() if value is not None}
    found = list(islice(_refusals(given), MAX_PROBLEMS + 1))
    stream, include_usage = _streaming(given, found)
    contract = _contract(given, found)
    if found:
        more = FieldViolation("request", f"has more wrong with it than the {MAX_PROBLEMS} things listed")
        raise InvalidRequest(found if len(found) <= MAX_PROBLEMS else [*found[:MAX_PROBLEMS], more])
    ignored = [name for name in ACCEPTED if name in given]
    warnings = (f"{', '.join(ignored)}: accepted, and without effect",) if ignored else ()
    return ChatRequest(wire.from_data(AnswerRequest, contract), stream, include_usage, warnings)


def _refusals(given: Mapping[str, object]) -> Iterator[FieldViolation]:
    for name, value in given.items():
        if name in REFUSED:
            neutral, why = REFUSED[name]
            kinds = (int, float) if type(neutral) is int else (type(neutral),)
            if type(value) not in kinds or value != neutral:
                yield FieldViolation(name, f"cannot be asked for here: {why}")
        elif name not in (*MAPPED, *STREAMING, *ACCEPTED):
            known = ", ".join((*MAPPED, *STREAMING))
            yield FieldViolation(member("", name), f"no such field; those that count: {known}")


def _streaming(given: Mapping[str, Any], found: list[FieldViolation]) -> tuple[bool, bool]:
    stream, options = given.get("stream", False), given.get("stream_options", {})
    usage = options.get("include_usage") if isinstance(options, dict) else None
    if not isinstance(stream, bool):
        found.append(FieldViolation("stream", "must be true or false"))
    if not isinstance(options, dict) or not isinstance(usage, bool | None):
        found.append(FieldViolation("stream_options", 'must be like {"include_usage": true}'))
    elif options and stream is not True:
        found.append(FieldViolation("stream_options", "belongs to a request with stream true"))
    return stream is True, usage is True


def _contract(given: Mapping[str, Any], found: list[FieldViolation]) -> dict[str, object]:
    """The contract's JSON, as far as it can be had."""
    extra = given.get("xmguard", {})
    if not isinstance(extra, dict):
        found.append(FieldViolation("xmguard", "must be an object: fields of AnswerRequest"))
        extra = {}
    for name, place in _ELSEWHERE.items():
        if extra.get(name) is not None:
            found.append(FieldViolation(f"xmguard.{name}", f"is given by {place}"))
    spans, question = _message(given.get("messages"), found)
    if spans and extra.get("spans"):
        found.append(FieldViolation("xmguard.spans", "are given by the parts of the message; use one of the two"))
    limits = [name for name in ("max_completion_tokens", "max_tokens") if name in given]
    if len(limits) > 1 and given["max_tokens"] != given["max_completion_tokens"]:
        found.append(FieldViolation("max_tokens", "differs from max_completion_tokens; send one of the two"))
    decoding = {
        "max_tokens": given[limits[0]] if limits else None,
        "temperature": given.get("temperature"),
        "seed": given.get("seed"),
    }
    own = {"model": given.get("model"), "question": question, "decoding": decoding}
    return {**extra, **own, **({"spans": spans} if spans else {})}


def _message(messages: object, found: list[FieldViolation]) -> tuple[list[dict[str, object]], str]:
    """Spans and question of the one message."""
    if not isinstance(messages, list) or not messages:
        found.append(FieldViolation("messages", "must be a list with one user message"))
        return [], ""
    for index, message in enumerate(islice(messages[:-1], MAX_PROBLEMS)):
        role = message.get("role") if isinstance(message, dict) else None
        why = (
            "the prompt is the guard's own; put instructions into the question"
            if role in ("system", "developer")
            else "earlier turns are not read; send the last user message alone"
        )
        found.append(FieldViolation(f"messages[{index}]", f"cannot be asked for here: {why}"))
    path, last = f"messages[{len(messages) - 1}]", messages[-1]
    if not isinstance(last, dict) or last.get("role") != "user":
        found.append(FieldViolation(path, 'must be a message of role "user"'))
        return [], ""
    found += [
        FieldViolation(member(path, name), "no such field; known here: role, content")
        for name, value in last.items()
        if name not in ("role", "content") and value is not None
    ]
    content = last.get("content")
    if isinstance(content, str):
        return [], content
    if not isinstance(content, list):
        found.append(FieldViolation(f"{path}.content", "must be text, or a list of parts"))
        return [], ""
    spans: list[dict[str, object]] = []
    questions: list[str] = []
    for index, part in enumerate(content):
        if len(found) > MAX_PROBLEMS:
            break
        _part(part, f"{path}.content[{index}]", spans, questions, found)
    return spans, questions[0] if questions else ""


def _part(
    part: object, path: str, spans: list[dict[str, object]], questions: list[str], found: list[FieldViolation]
) -> None:
    """One part of the message: a span, or the question."""
    if not isinstance(part, dict) or part.get("type") not in ("text", "image_url"):
        found.append(FieldViolation(path, "must be a part of type text or image_url"))
        return
    kind, label = part["type"], part.get("xmguard")
    found += [
        FieldViolation(member(path, name), f"no such field; known here: type, {kind}, xmguard")
        for name, value in part.items()
        if name not in ("type", kind, "xmguard") and value is not None
    ]
    if kind == "text" and not isinstance(part.get("text"), str):
        found.append(FieldViolation(f"{path}.text", "must be text"))
        return
    if kind == "text" and label is None:
        if questions:
            more = "is a second plain text; one is the question, and sources carry an xmguard object, if only {}"
            found.append(FieldViolation(path, more))
        questions.append(part["text"])
        return
    content = {"text": part["text"]} if kind == "text" else _media(part.get("image_url"), f"{path}.image_url", found)
    spans.append({**_label({} if label is None else label, f"{path}.xmguard", found), **content})


def _label(label: object, path: str, found: list[FieldViolation]) -> dict[str, object]:
    names = {"span": "id", "language": "language", "source": "source"}
    if not isinstance(label, dict) or not label.keys() <= names.keys():
        found.append(FieldViolation(path, f"must be an object with any of {', '.join(names)}"))
        return {}
    return {names[name]: value for name, value in label.items()}


def _media(image: object, path: str, found: list[FieldViolation]) -> dict[str, object]:
    """The bytes of a data: URL, still in base64. Nothing is ever fetched: a URL can lead into the server's network."""
    url = image.get("url") if isinstance(image, dict) else None
    if not isinstance(image, dict) or not isinstance(url, str):
        found.append(FieldViolation(path, 'must be like {"url": "data:image/png;base64,..."}'))
        return {}
    if image.get("detail") not in (None, "auto"):
        found.append(FieldViolation(f"{path}.detail", "cannot be asked for here: the model's own processor decides"))
    head, comma, data = url[len(_DATA_URL) :].partition(",")
    media_type, *parameters = head.split(";")
    if url[: len(_DATA_URL)].lower() != _DATA_URL or not comma or parameters != ["base64"]:
        only = "must be data:MEDIA/TYPE;base64,...; nothing is fetched, send the bytes themselves"
        found.append(FieldViolation(f"{path}.url", only))
        return {}
    return {"media": {"mediaType": media_type, "data": data}}
