"""A test double: a real HTTP server with an API of chat completions, and in place of a model a few rules.

The rules read the message: what it is asked, and the sources in it. A source says something where it holds
`opened in YEAR`, or `named NAME`; others say nothing. How the server misbehaves is its attributes' business.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any

MODEL = "double"
LENGTH = 4096
"""Tokens, as the list of models tells."""
SAID = -0.1
"""Log-probability of every token that is said."""
_FACT = re.compile(r"opened in (\d{4})|named (\w+)")
_WORD = re.compile(r"\n|[^\S\n]*\S+")


@dataclass
class Refusal:
    """An answer that is none."""

    status: int = 500
    body: bytes = b'{"error": {"message": "not now"}}'
    headers: dict[str, str] = field(default_factory=dict)


def refusal(status: int, message: str = "not now", code: str | None = None, **headers: str) -> Refusal:
    """An error as OpenAI words it; `retry_after` is the header `retry-after`."""
    body = json.dumps({"error": {"message": message, "type": "error", "param": None, "code": code}})
    return Refusal(status, body.encode(), {name.replace("_", "-"): value for name, value in headers.items()})


class ChatApi(ThreadingHTTPServer):
    """Listens on a free port of this machine."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.lock = Lock()
        self.key = ""
        """The one it takes; empty takes any."""
        self.unknown: dict[str, str] = {}
        """Field of a request to what is said when it is refused for it."""
        self.logprobs = True
        self.usage = True
        self.pieces: Callable[[str], list[str]] = _WORD.findall
        """Cuts an answer into tokens."""
        self.reply: Callable[[str], str] = answer
        """The model."""
        self.odd: Callable[[int, str], Refusal | None] = lambda number, message: None
        """What is answered instead, by the number of the call, from 0, and its message."""
        self.before: Callable[[str, int], None] = lambda message, number: None
        """Called before each token that is sent, by the number of the token; what it raises cuts the stream."""
        self.finish = "stop"
        self.length: int | None = LENGTH
        """As the list of models tells; None does not."""
        self.listing: Refusal | None = None
        """What is answered in place of the list of models."""
        self.thinks = False
        """Thinks until its tokens are spent, and says nothing."""
        self.gone = 0
        """Streams whose reader went away."""
        self.closing = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def messages(self) -> list[Any]:
        """Contents of the messages it was sent, in order, but for the trial calls."""
        contents = [call["messages"][0]["content"] for call in self.calls]
        return [content for content in contents if content != TRIAL]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away."""


TRIAL = "Reply with the word ready."


def sources(message: str) -> list[str]:
    """The facts of each source of a message, joined; empty for one without any."""
    context = message.removeprefix("Here are some sources.\n\n").split("\n\nQuestion:")[0]
    context = context.split("\n\nUsing all")[0].split("\n\nDo the sources")[0]
    return [" ".join(a or b for a, b in _FACT.findall(source)) for source in context.split("\n\n")]


def answer(message: str) -> str:
    """What the double says."""
    if message == TRIAL:
        return "ready"
    facts = sources(message)
    if "Reply with one word" in message:
        return "unanswered" if not all(facts) else "conflict" if len(set(facts)) > 1 else "agreement"
    if message.endswith("Short answer:"):
        return facts[0] if facts[0] else "Not stated."
    return f"By the first of {len(facts)} sources it is {facts[0]}, and that is all there is to say."


class _Handler(BaseHTTPRequestHandler):
    server: ChatApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self._keyless():
            return
        if self.server.listing is not None:
            self._refuse(self.server.listing)
            return
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "tests"}
        if self.server.length is not None:
            model["max_model_len"] = self.server.length
        self._send(200, json.dumps({"object": "list", "data": [model]}).encode())

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            number = len(server.calls)
            server.calls.append(asked)
            server.keys.append(self.headers["Authorization"])
        content = asked["messages"][0]["content"]
        message = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
        if self._keyless():
            return
        if asked["model"] != MODEL:
            self._refuse(refusal(404, f"The model `{asked['model']}` does not exist", "model_not_found"))
            return
        if (odd := server.odd(number, message)) is not None:
            self._refuse(odd)
            return
        for name, said in server.unknown.items():
            if name in asked:
                self._refuse(refusal(400, said))
                return
        self._stream(asked, message)

    def _stream(self, asked: dict[str, Any], message: str) -> None:
        server = self.server
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        limit = asked.get("max_tokens") or asked.get("max_completion_tokens")
        tokens = server.pieces(server.reply(message))
        finish = server.finish if len(tokens) <= limit else "length"
        try:
            self._event(delta={"role": "assistant", "content": ""})
            if server.thinks:
                self._event(delta={"reasoning_content": "Let me see"})
                tokens, finish = [], "length"
            for index, token in enumerate(tokens[:limit]):
                server.before(message, index)
                told = _told(token) if asked.get("logprobs") and server.logprobs else None
                self._event(delta={"content": token}, logprobs=told)
            self._event(delta={}, finish_reason=finish)
            if server.usage and asked.get("stream_options", {}).get("include_usage"):
                told = {"prompt_tokens": len(message.split()), "completion_tokens": len(tokens[:limit])}
                self._data({"choices": [], "usage": {**told, "total_tokens": 0}})
            self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")
        except OSError:
            server.gone += 1
            self.close_connection = True

    def _event(self, **choice: Any) -> None:
        self._data({"choices": [{"index": 0, "finish_reason": None, **choice}]})

    def _data(self, fields: dict[str, Any]) -> None:
        event = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": MODEL, **fields}
        self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _keyless(self) -> bool:
        key = self.headers["Authorization"].removeprefix("Bearer ")
        if self.server.key and key != self.server.key:
            self._refuse(refusal(401, f"Incorrect API key provided: {key}.", "invalid_api_key"))
            return True
        return False

    def _refuse(self, odd: Refusal) -> None:
        self._send(odd.status, odd.body, odd.headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


def _told(token: str) -> dict[str, Any]:
    """The log-probabilities of one token: it and an unlikely other."""
    likeliest = [{"token": token, "logprob": SAID, "bytes": None}, {"token": "?", "logprob": -5.0, "bytes": None}]
    return {"content": [{**likeliest[0], "bytes": list(token.encode()), "top_logprobs": likeliest}]}


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


@contextmanager
def serving() -> Iterator[ChatApi]:
    """One that listens."""
    with ChatApi() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
