from __future__ import annotations

import base64
import importlib.metadata
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.command_line import one_error_line, xmguard
from xmguard import wire
from xmguard.cli import app as cli_app
from xmguard.cli import ask, render
from xmguard.cli.access import Access
from xmguard.cli.flags import parse_spans
from xmguard.cli.terminal import printable
from xmguard.errors import InvalidRequest, SetupIncomplete, XmguardError
from xmguard.plugins import load_plugins
from xmguard.request import AnswerRequest, OnConflict, Prompt, Scope
from xmguard.response import (
    AnswerGroup,
    AnswerResponse,
    CheckResponse,
    ConflictVerdict,
    Decision,
    Delta,
    Disagreement,
    Done,
    Event,
    FinishReason,
    Imbalance,
    LayerContribution,
    Quote,
    Rebalancing,
    SpanReport,
    Started,
    Status,
    Usage,
)
from xmguard.span import Media, Span

VERDICT = ConflictVerdict(
    decision=Decision.CONFLICT,
    probability=0.91,
    status=Status.OK,
    reason="The sources name different costs.",
    groups=(AnswerGroup("42 million", ("s1",)), AnswerGroup("65 million", ("s2",))),
)
REPORTS = (
    SpanReport(
        "s1", "text", "en", 22, 1.5, 1.0, 0.12, 0.08, 0.18, 0.13, 0.0, layers=(LayerContribution(0, (1.0, 3.0)),)
    ),
    SpanReport(
        "s2", "text", "en", 24, 1.1, 3.0, 0.09, 0.25, 0.08, 0.23, 1.5, layers=(LayerContribution(0, (8.0, 8.0)),)
    ),
)
IMBALANCE = Imbalance(0.31, 1.1, "s2", "s1", 0.79, 0.67, 0.4, 1.0)
REBALANCING = Rebalancing(True, "fixed", "the caller's bias", Scope.READERS)
USAGE = Usage(prompt_tokens=120, completion_tokens=9, seconds=1.5, evidence_tokens=80)


class ScriptedGuard:
    """Stands in for a guard and for a client: gives a fixed answer, keeps the requests, refuses an empty question."""

    def __init__(self, verdict: ConflictVerdict = VERDICT) -> None:
        self.verdict = verdict
        self.reports = REPORTS
        self.requests: list[AnswerRequest] = []

    def stream(self, request: AnswerRequest) -> Iterator[Event]:
        self.requests.append(request)
        if not request.question:
            raise InvalidRequest.field("question", "must not be empty")
        yield Started("r1", self.reports)
        yield self.verdict
        yield Delta("It cost ")
        yield Delta("65 million.\x1b[31m")
        yield Done(self.answer(request))

    def answer(self, request: AnswerRequest) -> AnswerResponse:
        self.requests.append(request)
        return AnswerResponse(
            answer="It cost 65 million.",
            verdict=self.verdict,
            spans=self.reports,
            imbalance=IMBALANCE,
            rebalancing=REBALANCING,
            usage=USAGE,
            warnings=("one warning",),
        )

    def check(self, request: AnswerRequest) -> CheckResponse:
        self.requests.append(request)
        return CheckResponse("r1", self.verdict, self.reports, IMBALANCE, USAGE, REBALANCING)


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> ScriptedGuard:
    scripted = ScriptedGuard()

    @contextmanager
    def connect(
        access: Access, request: AnswerRequest, profile: Path | None
    ) -> Iterator[tuple[ScriptedGuard, AnswerRequest]]:
        yield scripted, request

    monkeypatch.setattr(ask, "connect", connect)
    return scripted


REQUEST = AnswerRequest(
    spans=(Span(text="It cost 42 million.", source="city council"), Span(text="It cost 65 million.")),
    question="What did it cost?",
)


def test_ask_shows_spans_verdict_answer_and_what_was_steered(guard: ScriptedGuard):
    shown = xmguard("ask", "--span", "en:It cost 42 million.", "--span", "es:Costó 65.", "What did it cost?").stdout
    for expected in (
        "text/en",
        "22 tok",
        "1.500",
        "3.000",
        "+1.50",
        "CONFLICT  p(conflict) = 0.91  calibrated: false",
        "The sources name different costs.",
        "s2: 65 million",
        "It cost 65 million.",
        "log ratio 0.31 → 1.10",
        "policy fixed applied, scope readers: the caller's bias",
        "warning: one warning",
    ):
        assert expected in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_each_disagreeing_span_is_quoted_once_on_lines_of_its_own(guard: ScriptedGuard):
    one, two = Quote("It cost\n42 million\x1b[31m.", 3, 25), Quote("It was " + "very " * 90 + "dear.", 0, 462)
    pairs = (Disagreement("s1", "s2", "42", "65", 0.9, one, two), Disagreement("s1", "s3", "42", "7", 0.8, one, None))
    guard.verdict = replace(VERDICT, disagreements=pairs)
    for arguments, stdin in ((("ask", "--span", "en:a", "--span", "en:b", "q"), None), (("check", "-"), "{}")):
        shown = xmguard(*arguments, stdin=stdin).stdout
        assert shown.count("where s1 says so: “It cost 42 million\ufffd[31m.”") == 1
        assert "where s2 says so: “It was very very" in shown
        assert "…”" in shown
        assert "dear" not in shown
        assert "where s3" not in shown
        assert shown.index("s2: 65 million") < shown.index("where s1")
    answered = json.loads(xmguard("check", "-", "--json", stdin="{}").stdout)["verdict"]["disagreements"]
    assert answered[0]["evidenceA"] == {"text": one.text, "start": 3, "end": 25}
    assert answered[0]["evidenceB"]["text"] == two.text
    assert "evidenceB" not in answered[1]


def test_the_table_shows_each_spans_own_answer_not_its_groups_label(guard: ScriptedGuard):
    own = ("It rose to 42 million, about 3.", "")
    guard.reports = tuple(replace(report, answer_alone=answer) for report, answer in zip(REPORTS, own, strict=True))
    for arguments, stdin in ((("ask", "--span", "en:a", "--span", "en:b", "q"), None), (("check", "-"), "{}")):
        shown = xmguard(*arguments, stdin=stdin).stdout
        table = shown[shown.index("answer alone") :]
        first, second = table[: table.index("s2")], table[table.index("s2") : table.index("imbalance")]
        assert "to 42" in first
        assert "65 million" not in second
        assert shown.index("CONFLICT") < shown.index("answer alone")
    guard.reports = REPORTS
    assert "answer alone" not in xmguard("check", "-", stdin="{}").stdout


@pytest.mark.parametrize("finish", FinishReason)
def test_a_withheld_answer_comes_with_the_flag_that_asks_for_one_all_the_same(
    guard: ScriptedGuard, monkeypatch: pytest.MonkeyPatch, finish: FinishReason
):
    def withheld(request: AnswerRequest) -> Iterator[Event]:
        yield ConflictVerdict()
        yield Done(AnswerResponse(finish_reason=finish))

    monkeypatch.setattr(guard, "stream", withheld)
    words = " ".join(xmguard("ask", "--span", "en:a", "--span", "en:b", "q").stdout.split())
    assert ("for one all the same: ask --on-error open" in words) is (finish is FinishReason.CLOSED)
    assert xmguard("ask", "--span", "en:a", "--span", "en:b", "--on-error", "open", "q").exit_code == 0


def test_a_streamed_answer_is_verdict_words_table_cost(guard: ScriptedGuard):
    shown = xmguard("ask", "--span", "en:a", "--span", "en:b", "q").stdout
    places = [shown.index(part) for part in ("CONFLICT", "It cost 65", "contribution", "imbalance", "policy", "usage")]
    assert places == sorted(places)


def test_control_characters_of_an_answer_do_not_reach_the_terminal(guard: ScriptedGuard):
    assert "\x1b" not in xmguard("ask", "--span", "en:a", "--span", "en:b", "q").stdout
    assert printable("a\x1b[2J\u202eb\n\tc\x9b") == "a\ufffd[2J\ufffdb\n\tc\ufffd"


def test_flags_become_the_request(guard: ScriptedGuard, tmp_path):
    (tmp_path / "zh.txt").write_text("长", encoding="utf-8")
    result = xmguard(
        *("ask", "--span", ":unlabelled: text", "--span-file", f"zh-Hant:{tmp_path / 'zh.txt'}", "--model", "m"),
        *(
            "--bias",
            "s2=1.5",
            "--bias",
            "s1=-inf",
            "--scope",
            "all",
            "--prompt",
            "explicit",
            "--on-conflict",
            "abstain",
        ),
        *("--max-tokens", "7", "--temperature", "0.5", "--seed", "3", "--layers", "q?"),
    )
    assert result.exit_code == 0, result.output
    request = guard.requests[0]
    assert request.spans == (
        Span(text="unlabelled: text"),
        Span(text="长", language="zh-Hant", source="zh.txt"),
    )
    assert (request.model, request.question) == ("m", "q?")
    assert dict(request.rebalance.bias) == {"s2": 1.5, "s1": float("-inf")}
    assert (request.rebalance.policy, request.rebalance.scope) == ("fixed", Scope.ALL)
    assert (request.prompt, request.on_conflict) == (Prompt.EXPLICIT, OnConflict.ABSTAIN)
    assert (request.decoding.max_tokens, request.decoding.temperature, request.decoding.seed) == (7, 0.5, 3)
    assert request.detail.layers
    assert "contribution by layer" in result.stdout


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.mark.parametrize(
    ("name", "data", "media_type"),
    [
        ("photo.png", PNG, "image/png"),
        ("photo.jpg", PNG, "image/png"),  # the bytes know better than the name
        ("photo", b"\xff\xd8\xff\xe0\x00", "image/jpeg"),
        ("photo.bin", b"RIFF\x0a\xff\x00\x00WEBPVP8 ", "image/webp"),
        ("paper.txt", b"%PDF-1.7\n", "application/pdf"),
        ("sound.mp3", b"ID3\xff\xff", "audio/mpeg"),
    ],
)
def test_a_file_that_is_no_text_becomes_media_of_the_type_it_has(guard, tmp_path, name, data, media_type):
    (tmp_path / name).write_bytes(data)
    for language in ("", "zh"):
        path = f"{language}:{tmp_path / name}" if language else str(tmp_path / name)
        assert xmguard("ask", "--span", "en:a", "--span-file", path, "q").exit_code == 0
        picture = guard.requests[-1].spans[1]
        assert picture == Span(media=Media(media_type, data), language=language, source=name)


TABLES = """
from types import SimpleNamespace
from xmguard.hookspecs import hookimpl

@hookimpl
def xmguard_modalities():
    return [SimpleNamespace(name="csv", media_types=("text/csv",), parts=lambda span: [])]
"""


@pytest.mark.parametrize("data", [b"year,visitors\n1912,40\n", "année".encode("latin-1")])
def test_a_file_whose_name_has_a_media_type_that_a_plugin_takes_becomes_media(guard, tmp_path, monkeypatch, data):
    path = tmp_path / "sums.csv"
    path.write_bytes(data)
    assert "error" in one_error_line(xmguard("ask", "--span", "en:a", "--span-file", str(path), "q"))
    (tmp_path / "tables_plugin.py").write_text(TABLES)
    monkeypatch.syspath_prepend(tmp_path)
    entry = importlib.metadata.EntryPoint("tables", "tables_plugin", "xmguard")
    monkeypatch.setattr("xmguard.plugins.entry_points", lambda group: [entry])
    monkeypatch.delenv("XMGUARD_PLUGINS")
    assert xmguard("ask", "--span", "en:a", "--span-file", str(path), "q").exit_code == 0
    assert guard.requests[-1].spans[1] == Span(media=Media("text/csv", data), source="sums.csv")


def test_a_compressed_file_is_not_of_the_media_type_inside(tmp_path):
    path = tmp_path / "sums.csv.gz"
    path.write_bytes(b"\x1f\x8b\x08")
    with pytest.raises(XmguardError, match="not UTF-8 at byte 1"):
        parse_spans([], [f":{path}"], {"text/csv"})
    with pytest.raises(XmguardError, match="names no language"):
        parse_spans([], [str(path)], {"text/csv"})


@pytest.mark.parametrize("language", ["", "en"])
def test_a_language_makes_text_of_a_file_that_a_plugin_would_take(tmp_path, language):
    path = tmp_path / "sums.csv"
    path.write_text("1912,40")
    (span,) = parse_spans([], [f"{language}:{path}"], {"text/csv"})
    assert span == Span(text="1912,40", language=language, source="sums.csv")


def test_a_picture_in_a_request_file_is_base64(guard: ScriptedGuard):
    media = {"mediaType": "image/png", "data": base64.b64encode(PNG).decode()}
    text = json.dumps({"spans": [{"media": media}], "question": "q"})
    for command in ("answer", "check"):
        assert xmguard(command, "-", stdin=text).exit_code == 0
        assert guard.requests[-1].spans == (Span(media=Media("image/png", PNG)),)
    assert wire.from_json(AnswerRequest, wire.to_json(guard.requests[-1])) == guard.requests[-1]
    damaged = text.replace("iVBOR", "iVB R")
    assert "spans[0].media.data: must be base64" in one_error_line(xmguard("answer", "-", stdin=damaged))


def test_the_table_shows_a_picture_by_its_modality(guard: ScriptedGuard):
    guard.reports = (replace(REPORTS[0], modality="image", language="und"), REPORTS[1])
    shown = xmguard("check", "-", stdin="{}").stdout
    assert "image " in shown
    assert "image/und" not in shown
    assert "text/en" in shown


def test_epsilon_is_the_policys_parameter(guard: ScriptedGuard):
    xmguard("ask", "--span", "en:a", "--policy", "later", "--epsilon", "2", "q")
    assert (guard.requests[0].rebalance.policy, dict(guard.requests[0].rebalance.parameters)) == (
        "later",
        {"epsilon": 2},
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ask", "--span", "no language", "q"], "--span: 'no language' names no language; write en:TEXT"),
        (["ask", "--span", "en:a", "--bias", "s1", "q"], "--bias: 's1' is not NAME=NUMBER"),
        (["ask", "--span", "en:a", "--bias", "s1=x", "q"], "--bias: 's1=x' is not NAME=NUMBER"),
        (["ask", "--span", "en:a", "--bias", "s1=1", "--bias", "s1=2", "q"], "'s1' is given twice"),
        (["ask", "--span-file", "en:/nowhere", "q"], "/nowhere cannot be read: No such file"),
        (["ask", "--span-file", "/nowhere.png", "q"], "/nowhere.png cannot be read: No such file"),
        (["ask", "--span-file", __file__, "q"], "names no language; write en:PATH, or :PATH to have"),
        (["ask", "--span", "en:a", ""], "question: must not be empty"),
        (["answer", "/nowhere.json"], "/nowhere.json cannot be read"),
        (["models", "pull", "gpt"], "no model 'gpt' can be pulled by name; known: smollm2"),
    ],
)
def test_bad_input_is_one_line_and_status_2(guard: ScriptedGuard, arguments: list[str], expected: str):
    assert expected in one_error_line(xmguard(*arguments))


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"nope": 1}', '{"spans": [{"text": 5}]}'),
        '{"decoding": {"maxTokens": %s}}' % ("9" * 5000),
        '{"conflictThreshold": 1%s}' % ("0" * 400),
        '{"rebalance": {"bias": {"s1": 1%s}}}' % ("0" * 400),
    ],
)
def test_a_malformed_request_file_is_one_line_and_status_2(guard: ScriptedGuard, text: str):
    for command in ("answer", "check"):
        one_error_line(xmguard(command, "-", stdin=text))
    assert not guard.requests


def test_bytes_that_are_not_utf8_are_refused(guard: ScriptedGuard, tmp_path):
    (tmp_path / "latin.json").write_bytes(b'{"question": "\xe9"}')
    assert "not UTF-8 at byte 14" in one_error_line(xmguard("answer", str(tmp_path / "latin.json")))


def test_the_mark_that_windows_puts_before_utf8_is_no_text(guard: ScriptedGuard, tmp_path):
    marked = tmp_path / "marked"
    marked.write_bytes(b"\xef\xbb\xbf" + wire.to_json(REQUEST).encode())
    assert xmguard("check", str(marked)).exit_code == 0
    assert guard.requests == [REQUEST]
    (span,) = parse_spans([], [f"en:{marked}"])
    assert span.text == wire.to_json(REQUEST)
    marked.write_bytes("{}".encode("utf-16"))
    assert "not UTF-8 at byte 0; save it as UTF-8" in one_error_line(xmguard("check", str(marked)))


def test_answer_as_json_round_trips(guard: ScriptedGuard):
    result = xmguard("answer", "-", "--json", "--model", "other", stdin=wire.to_json(REQUEST))
    assert wire.from_json(AnswerResponse, result.stdout).verdict == VERDICT
    assert guard.requests[0].model == "other"
    assert guard.requests[0].spans == REQUEST.spans


def test_json_is_utf8_in_a_terminal_that_is_not(guard: ScriptedGuard):
    guard.verdict = ConflictVerdict(reason="浪费，é 🚌")
    for command, kind in (("answer", AnswerResponse), ("check", CheckResponse)):
        done = CliRunner(charset="cp1252").invoke(cli_app.build_app(), [command, "-", "--json"], input=b"{}")
        assert wire.from_json(kind, done.stdout_bytes.decode()).verdict.reason == "浪费，é 🚌"


def test_what_a_terminal_cannot_show_is_escaped(monkeypatch: pytest.MonkeyPatch):
    shown = BytesIO()
    monkeypatch.setattr("sys.stdout", TextIOWrapper(shown, encoding="cp1252"))
    monkeypatch.setattr("xmguard.cli.app.build_app", lambda: lambda: print("浪费 é", flush=True))
    cli_app.run()
    assert shown.getvalue() == rb"\u6d6a\u8d39 " + "é\n".encode("cp1252")


def test_check_shows_source_labels_and_no_answer(guard: ScriptedGuard):
    result = xmguard("check", "-", stdin=wire.to_json(REQUEST))
    assert result.exit_code == 0
    assert "city council" in result.stdout
    assert "It cost 65 million." not in result.stdout


@pytest.mark.parametrize(
    ("decision", "status"),
    [(Decision.CONSISTENT, 0), (Decision.CONFLICT, 3), (Decision.UNDETERMINED, 4), (Decision.UNSPECIFIED, 4)],
)
def test_check_tells_the_decision_by_exit_status_when_asked(guard: ScriptedGuard, decision: Decision, status: int):
    guard.verdict = ConflictVerdict(decision=decision)
    text = wire.to_json(REQUEST)
    assert xmguard("check", "-", "--exit-code", stdin=text).exit_code == status
    assert xmguard("check", "-", stdin=text).exit_code == 0


def test_an_interrupt_ends_with_130(guard: ScriptedGuard, monkeypatch: pytest.MonkeyPatch):
    def interrupted(request: AnswerRequest) -> CheckResponse:
        raise KeyboardInterrupt

    monkeypatch.setattr(guard, "check", interrupted)
    assert xmguard("check", "-", stdin="{}").exit_code == 130


def test_a_bug_is_not_dressed_up_as_bad_input(guard: ScriptedGuard, monkeypatch: pytest.MonkeyPatch):
    def broken(request: AnswerRequest) -> CheckResponse:
        raise ZeroDivisionError

    monkeypatch.setattr(guard, "check", broken)
    result = xmguard("check", "-", stdin="{}")
    assert (result.exit_code, type(result.exception)) == (1, ZeroDivisionError)


def test_a_command_that_does_not_load_says_why_when_it_is_used(monkeypatch: pytest.MonkeyPatch):
    entry = importlib.metadata.EntryPoint("broken", "no_such_module:command", cli_app.COMMANDS)
    monkeypatch.setattr(cli_app, "entry_points", lambda group: [entry])
    line = one_error_line(xmguard("broken", "--any", "flag"))
    assert "'broken' (no_such_module:command) does not load" in line
    assert "No module named 'no_such_module'" in line
    assert "Not available" in xmguard("--help").stdout
    with pytest.raises(SetupIncomplete):
        cli_app._failing(entry, ImportError("x"))()


def test_plugins_lists_the_built_ins():
    found = {plugin["name"]: plugin for plugin in json.loads(xmguard("plugins", "--json").stdout)}
    assert "model:smollm2" in found["builtin-models"]["provides"]
    shown = xmguard("plugins").stdout
    assert "policy:fixed" in shown
    for policy in load_plugins().policies:
        for text in (policy.name, *policy.parameters):
            assert text in shown


def test_version():
    assert xmguard("--version").stdout.startswith("xmguard 0.")


def test_an_unknown_number_is_a_dash_and_never_zero():
    assert render.number(None) == render.percent(None) == "-"
    assert "not defined" in render.imbalance_line(Imbalance(), steered=False).plain


@pytest.mark.parametrize(("value", "expected"), [(0.0, ""), (4.0, "████"), (2.0, "██"), (1.5, "█▌"), (9.0, "████")])
def test_bars_are_proportional_and_never_longer_than_their_column(value: float, expected: str):
    assert render.bar(value, largest=4.0, width=4) == expected


def test_a_row_of_layers_rises_with_the_contribution():
    _, low, high = (line.plain for line in render.layers_lines(REPORTS))
    assert (low, high) == ("s1: ▃", "s2: █")
