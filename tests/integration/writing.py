"""A real HTTP server that plays a model behind an OpenAI-compatible endpoint: it writes, draws, refuses and stalls."""

import json
from base64 import b64encode
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread


class Writing(ThreadingHTTPServer):
    """Answers every prompt with what `answer` makes of it: an object for a chat, bytes for a picture.

    Prompts in which a word of `faults` stands it treats so, one fault after another.
    """

    daemon_threads = True

    def __init__(self, answer, faults=None, pause=0.0):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.faults, self.pause = answer, faults or {}, pause
        self.lock, self.closing = Lock(), Event()
        self.bodies = []
        self.asked, self.busy, self.most = Counter(), 0, 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self):
        self.thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(self, *problem):
        self.closing.set()
        self.shutdown()
        self.thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        draws = self.path == "/v1/images/generations"
        content = body["prompt"] if draws else body["messages"][0]["content"]
        prompt = content if isinstance(content, str) else content[0]["text"]
        with server.lock:
            server.bodies.append(body)
            server.asked[prompt] += 1
            server.busy += 1
            server.most = max(server.most, server.busy)
            fault = next((left.pop(0) for word, left in server.faults.items() if word in prompt and left), None)
        server.closing.wait(server.pause)
        with server.lock:  # before the answer is sent: once it is, the next request may come
            server.busy -= 1
        if fault == "stall":
            return server.closing.wait(5)
        if fault == "limit":
            return self.reply(429, {"error": {"message": "slowly"}})
        if fault == "refuse":
            said = {"message": "Your request was rejected by the safety system.", "code": "content_policy_violation"}
            return self.reply(400, {"error": said})
        if fault == "broke":
            return self.reply(400, {"error": {"message": "no money is left", "code": "billing_hard_limit_reached"}})
        if draws:
            found = fault if fault is not None else b64encode(server.answer(prompt)).decode()
            return self.reply(200, found if isinstance(found, dict) else {"created": 1, "data": [{"b64_json": found}]})
        content = fault if fault is not None else json.dumps(server.answer(prompt))
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        return self.reply(200, {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage})

    def reply(self, status, body):
        written = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(written)))
            self.send_header("retry-after-ms", "1")
            self.end_headers()
            self.wfile.write(written)
        except OSError:
            """Whoever asked is gone."""

    def log_message(self, *arguments):
        """Quiet."""
