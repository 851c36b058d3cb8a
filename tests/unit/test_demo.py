"""What the demo asks, how it shows pictures and steering, and what it says where the part with a picture cannot run."""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO, StringIO
from pathlib import Path
from tempfile import TemporaryFile
from threading import Thread
from types import SimpleNamespace

# The source folders, so that the tests also run where the plugins are not installed.
sys.path.insert(0, str(Path(__file__).parents[2] / "plugins" / "xmguard-image" / "src"))
sys.path.insert(0, str(Path(__file__).parents[2] / "plugins" / "xmguard-smolvlm-tiny" / "src"))
import pytest
import xmguard_image
from PIL import Image
from rich.console import Console

import xmguard_smolvlm_tiny
from xmguard.cli import demo
from xmguard.errors import XmguardError
from xmguard.plugins import load_plugins
from xmguard.request import AnswerRequest
from xmguard.response import AnswerResponse, SpanReport
from xmguard.span import Span
from xmguard_smolvlm_tiny.source import SmolVlmTiny


def without_weights(folder):
    """The real plugin, as it is in a checkout where nobody trained the model."""
    plugin = SimpleNamespace(**vars(xmguard_smolvlm_tiny))

    @xmguard_smolvlm_tiny.hookimpl
    def xmguard_models():
        return [SmolVlmTiny(folder)]

    plugin.xmguard_models = xmguard_models
    return plugin


def test_every_picture_is_a_small_file_of_the_size_that_is_shown():
    examples = demo._examples(demo.PICTURES)
    spans = [span for example in examples for span in example.request.spans if span.media]
    assert len(spans) == len(examples)
    for span in spans:
        assert len(span.media.data) <= 40_000
        assert Image.open(BytesIO(span.media.data)).size == (224, 224)
        assert demo._shown(span) == "[picture: 224 x 224 PNG]"
        (part,) = xmguard_image.ImageModality().parts(SimpleNamespace(span=span))
        assert (part.width, part.height) == (224, 224)


def test_the_picture_is_contradicted_by_one_text_and_confirmed_by_the_other():
    conflict, consistent = (example.request for example in demo._examples(demo.PICTURES))
    assert conflict.question == consistent.question
    assert conflict.spans[0] == consistent.spans[0]
    assert (conflict.spans[1].text, consistent.spans[1].text) == (
        "The picture shows somebody surfing.",
        "The picture shows somebody snowboarding.",
    )


def test_the_metrics_are_read_without_the_proxy_of_the_environment(monkeypatch):
    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"xmguard_requests_total 3.0\n")

        def log_message(self, *arguments):
            """Quiet."""

    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    shown = StringIO()
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.handle_request, daemon=True).start()
        demo._show_metrics(Console(file=shown), f"http://127.0.0.1:{server.server_port}/metrics")
    assert "xmguard_requests_total 3.0" in shown.getvalue()


@pytest.mark.parametrize(
    ("program", "said"),
    [("import time; time.sleep(60)", "was not ready within 0.5 s"), ("print('no')", "ended before it was ready")],
)
def test_a_server_that_is_not_ready_is_told_apart_from_one_that_ended(monkeypatch, program, said):
    monkeypatch.setattr(demo, "START_SECONDS", 0.5 if "sleep" in program else 60.0)
    command = [sys.executable, "-c", program]
    with (
        TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
        pytest.raises(XmguardError, match=said),
    ):
        demo._wait_until_ready(process, log)


def test_the_first_part_is_about_texts_only():
    examples = demo._examples(demo.TEXTS)
    assert len(examples) == 3
    assert all(demo._shown(span) == span.text for example in examples for span in example.request.spans)


def test_without_plugins_it_says_what_to_install_and_that_the_allow_list_counts(monkeypatch):
    monkeypatch.setenv("XMGUARD_PLUGINS", "")
    lacking = demo._lacking_for_pictures(load_plugins())
    assert lacking == (
        "xmguard-image and xmguard-smolvlm-tiny not found; in a clone: pip install ./plugins/xmguard-image "
        "./plugins/xmguard-smolvlm-tiny, and XMGUARD_PLUGINS has to allow it "
        "(xmguard-smolvlm-tiny counts once it holds weights; its README trains them)"
    )


def test_only_the_plugin_that_is_missing_is_named():
    registry = load_plugins(extra={"image": xmguard_image})
    assert demo._lacking_for_pictures(registry).startswith(
        "xmguard-smolvlm-tiny not found; in a clone: pip install ./plugins/xmguard-smolvlm-tiny"
    )


def test_a_model_without_weights_is_said_in_the_words_of_its_source(tmp_path):
    registry = load_plugins(extra={"image": xmguard_image, "smolvlm-tiny": without_weights(tmp_path)})
    assert demo._lacking_for_pictures(registry).startswith("there are no weights in this distribution")


def test_steering_a_span_shows_its_numbers_before_and_after():
    """The span that is steered is the picture's, and every row has the bias it says."""
    asked = []

    class Client:
        def answer(self, request: AnswerRequest):
            asked.append(request.rebalance)
            epsilon = request.rebalance.bias["picture"]
            reports = (
                SpanReport("picture", "image", "und", 49, 1.5, 1.5 + epsilon, 0.1, 0.2, 0.3, 0.4),
                SpanReport("caption", "text", "en", 8, 9.0, 9.0, 0.9, 0.9, 0.9, 0.9),
            )
            return AnswerResponse(spans=reports, raw_answer="snowboarding")

    console = Console(width=80)
    with console.capture() as captured:
        demo._sweep(console, Client(), AnswerRequest(spans=(Span("picture"), Span("caption"))), "picture")
    assert [rebalance.policy for rebalance in asked] == ["fixed"] * len(demo.EPSILONS)
    rows = captured.get().splitlines()
    assert any("+2" in row and "1.500 → 3.500" in row and "10% → 20%" in row and "30% → 40%" in row for row in rows)
    assert "9.000" not in captured.get()
    assert max(map(len, rows)) <= 80
