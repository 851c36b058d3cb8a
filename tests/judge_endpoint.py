"""A real HTTP server in place of a judge's endpoint, which misbehaves as the name of the model says: `limited 2`."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

YES = '```json\n{"contradict_score": 1}\n```'


class Endpoint(ThreadingHTTPServer):
    """Does what the name of the model says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict] = []
        self.keys: list[str] = []
        self.closing = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


def completion(content: object) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    return json.dumps({"id": "1", "object": "chat.completion", "model": "m", "choices": [choice]}).encode()


BODIES = {
    "chatty": completion("Yes, they do."),
    "silent": completion(None),
    "html": b"<html>Bad gateway</html>",
    "cut": completion(YES)[:-9],
    "other": b'{"object": "list", "data": []}',
    "bytes": b"\xff\xfe\x00",
}
STATUSES = {"limited": 429, "down": 500, "unknown": 404, "away": 503}


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(asked)
        self.server.keys.append(self.headers["Authorization"])
        behaviour, _, times = asked["model"].partition(" ")
        before = Counter(one["model"] for one in self.server.requests)[asked["model"]] - 1
        if times and before >= int(times):
            return self.reply(200, completion(YES))
        if behaviour == "slow":
            self.server.closing.wait(10)
            return None
        if behaviour == "hangup":
            return self.connection.close()
        if behaviour in STATUSES:
            return self.reply(STATUSES[behaviour], b'{"error": {"message": "not now"}}')
        return self.reply(200, BODIES.get(behaviour, completion(YES)))

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@contextmanager
def serving() -> Iterator[Endpoint]:
    """One that listens."""
    with Endpoint() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()
