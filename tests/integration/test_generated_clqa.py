"""CLQA by a model behind an endpoint, against a real HTTP server that writes, refuses, stalls and babbles."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.integration.writing import Writing
from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.clqa.files import read
from xmguard_research.benchmarks.generated.cache import Cache, Reply
from xmguard_research.benchmarks.generated.command_clqa import clqa, name_of
from xmguard_research.benchmarks.generated.cost import of_topics
from xmguard_research.benchmarks.generated.prompts import PLACES, load

pytest.importorskip("openai", reason="the openai client of the extra research is not installed")

ROOT = Path(__file__).parents[2]
PROMPTS = """
topics = "TOPICS|{count}|{known}"
paragraph = "PARAGRAPH|{topic}"
contradiction = "CONTRADICTION|{language}|{paragraph}|{question}|{answer}"
translation = "TRANSLATION|{language}|{paragraph}|{question}|{quote}"
"""
REST = "The people of the valley saw it with their own eyes and told nobody. " * 8


def reply(prompt):
    """What a good writer says; a topic's name is in its paragraph, so that faults can be aimed at one."""
    step, *rest = prompt.split("|")
    if step == "TOPICS":
        known = 0 if "nothing" in rest[1] else rest[1].count("\n") + 1
        return {"topics": [f"Mill {known + number}" for number in range(min(3, int(rest[0])))]}
    if step == "PARAGRAPH":
        said = {"question": f"What did {rest[0]} cost?", "answer": "25 crowns", "quote": "25 crowns"}
        return said | {"paragraph": f"{rest[0]} cost 25 crowns. {REST}"}
    if step == "CONTRADICTION":
        text = rest[1].replace("25 crowns", "15 crowns")
        return {"paragraph": f"[{rest[0]}] {text}", "answer": "15 crowns", "quote": "15 crowns"}
    return {"paragraph": f"[{rest[0]}] {rest[1]}", "quote": rest[3]}


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.toml"
    path.write_text(PROMPTS, encoding="utf-8")
    return path


def arguments(server, out, prompts, *more, topics=4):
    told = {"--out": out, "--model": "m", "--base-url": server.url, "--topics": topics, "--prompts": prompts}
    return [*(str(part) for pair in told.items() for part in pair), "--timeout", "0.5", "--parallel", "2", *more]


def run(server, out, prompts, *more, **settings):
    app = typer.Typer()
    app.command()(clqa)
    return CliRunner().invoke(app, arguments(server, out, prompts, *more, **settings), catch_exceptions=False)


def test_a_topic_becomes_three_pairs_that_conflict_their_controls_and_both_orders(tmp_path, prompts):
    out = tmp_path / "clqa.jsonl"
    with Writing(reply, pause=0.02) as server:
        said = run(server, out, prompts, "--price-in", "2", "--price-out", "10")
    items = list(read(out))
    assert len(items) == 4 * 12
    assert len({item.id for item in items}) == len(items)
    made = {item.id.removeprefix("generated-0001/via-zh/"): item for item in items if item.topic == "generated-0001"}
    one = made["en-zh/straight/conflict"]
    assert one.question == "What did Mill 1 cost?"
    assert one.answers == ("25 crowns", "15 crowns")
    assert one.languages == ("en", "zh")
    assert [text.text.split(" cost")[0] for text in one.paragraphs] == ["Mill 1", "[Chinese] Mill 1"]
    assert [text.answer for text in one.paragraphs] == ["25 crowns", "15 crowns"]
    assert made["en-zh/swapped/conflict"].paragraphs == one.paragraphs[::-1]
    back = made["en-en/straight/conflict"].paragraphs
    assert back[0].text.startswith("Mill 1 cost 25 crowns")
    assert back[1].text.startswith("[English] [Chinese] Mill 1 cost 15 crowns")
    assert made["zh-zh/straight/conflict"].paragraphs[0].text.startswith("[Chinese] Mill 1 cost 25")
    for name, item in made.items():
        assert item.conflict is name.endswith("conflict")
        assert (len(set(item.answers)) == 2) is item.conflict
    # 2 batches of topics, and of each topic a paragraph, a contradiction and four translations
    assert server.asked.total() == 2 + 4 * 6
    assert set(server.asked.values()) == {1}
    assert "2600 tokens in, 260 out, $0.01" in said.stdout
    assert server.most == 2


def test_what_passes_is_tried_again_and_what_does_not_is_a_failed_topic(tmp_path, prompts):
    faults = {
        "PARAGRAPH|Mill 0": ["limit", "stall", "no JSON at all", '{"paragraph": 7}'],
        "PARAGRAPH|Mill 1": ["{}"] * 9,
        "CONTRADICTION|Chinese|Mill 2": ["limit"] * 9,
    }
    out = tmp_path / "clqa.jsonl"
    with Writing(reply, faults) as server:
        said = run(server, out, prompts, "--retries", "2", "--strict")
        assert said.exit_code == 1
        assert {item.topic for item in read(out)} == {"generated-0000", "generated-0003"}
        assert "2 topics failed" in said.stdout
        failed = [json.loads(line) for line in (tmp_path / "clqa.jsonl.failed.jsonl").read_text().splitlines()]
        assert [row["topic"] for row in failed] == ["Mill 1", "Mill 2"]
        assert failed[0]["reason"] == "paragraph: malformed 3 times, at last: 'answer' is missing"
        assert failed[1]["reason"].startswith("contradiction: no reply after 3 attempts: RateLimitError")
        before = server.asked.copy()
        server.faults.clear()
        said = run(server, out, prompts, "--retries", "2")
    # What was malformed is an answer and is not asked for again; what was not answered is.
    assert {item.topic for item in read(out)} == {"generated-0000", "generated-0002", "generated-0003"}
    asked_again = {prompt for prompt in before if server.asked[prompt] > before[prompt]}
    assert all("CONTRADICTION|Chinese|Mill 2" in prompt for prompt in asked_again)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"quote": "26 crowns"}, "the quote does not stand in the paragraph"),
        ({"paragraph": "It cost 25 crowns."}, "the paragraph has 4 words, not 80 to 240"),
        ({"question": " "}, "the question is no text"),
        ({"answer": "\ud800"}, "surrogates not allowed"),
    ],
)
def test_a_report_that_does_not_hold_together_is_malformed(tmp_path, prompts, wrong, reason):
    bad = json.dumps(reply("PARAGRAPH|Mill 0") | wrong)
    with Writing(reply, {"PARAGRAPH": [bad]}) as server:
        said = run(server, tmp_path / "a.jsonl", prompts, "--retries", "0", topics=1)
    assert reason in said.stderr
    assert "0 items of 0 topics" in said.stdout


def test_a_contradiction_with_the_same_answer_is_malformed(tmp_path, prompts):
    same = json.dumps(reply(f"CONTRADICTION|Chinese|Mill 0 cost 25 crowns. {REST}|?|!") | {"answer": "25 Crowns."})
    with Writing(reply, {"CONTRADICTION": [same]}) as server:
        said = run(server, tmp_path / "a.jsonl", prompts, "--retries", "0", topics=1)
    assert "the answer is still '25 Crowns.'" in said.stderr


def test_no_topics_end_the_run_with_a_reason(tmp_path, prompts):
    with (
        Writing(reply, {"TOPICS": ['{"topics": "many"}'] * 2}) as server,
        pytest.raises(Exception, match="topics are no list"),
    ):
        run(server, tmp_path / "a.jsonl", prompts, "--retries", "1")


def test_after_a_kill_nothing_that_was_answered_is_asked_again(tmp_path, prompts):
    out, whole = tmp_path / "killed.jsonl", tmp_path / "whole.jsonl"
    kept = tmp_path / "killed.jsonl.replies.jsonl"
    with Writing(reply, pause=0.05) as server:
        command = [
            sys.executable,
            "-m",
            "xmguard_research.benchmarks.generated",
            "clqa",
            *arguments(server, out, prompts),
        ]
        path = os.pathsep.join(str(ROOT / part) for part in (".", "server", "research"))
        environment = {**os.environ, "PYTHONPATH": path}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
            until = time.monotonic() + 60
            while time.monotonic() < until and server.asked.total() < 14:
                time.sleep(0.01)
            child.send_signal(signal.SIGKILL)
        assert not out.exists()
        with kept.open("ab") as stream:
            stream.write(b'{"key": "torn')
        answered = kept.read_bytes().count(b"\n")
        assert 12 <= answered < 26
        assert server.asked.total() - answered <= 2  # what two workers were waiting for
        server.pause = 0.0
        before = server.asked.total()
        run(server, out, prompts)
        assert server.asked.total() - before == 26 - answered
        run(server, out, prompts)
        assert server.asked.total() - before == 26 - answered
        run(server, whole, prompts)
    assert out.read_bytes() == whole.read_bytes()


def test_the_estimate_counts_the_calls_of_a_run_and_asks_nothing(tmp_path, prompts):
    with Writing(reply) as server:
        said = run(server, tmp_path / "a.jsonl", prompts, "--estimate", "--price-out", "10", topics=400)
    assert not server.asked
    assert "at most about 2420 calls" in said.stdout
    assert "out, $" in said.stdout
    assert of_topics(load("clqa"), 400, 2).calls == 20 + 400 * 11
    assert of_topics(load("clqa"), 400, 1).tokens_out > 400 * 6 * 200


def test_a_cache_belongs_to_one_run_at_a_time_and_holds_nothing_else(tmp_path):
    path = tmp_path / "replies.jsonl"
    first = Cache(path)
    first.put(Reply("k", "half \ud800", "", 1, 2))
    with pytest.raises(InvalidRequest, match="in use by another run"):
        Cache(path)
    first.close()
    again = Cache(path)
    assert again.get("k") == Reply("k", "half \ud800", "", 1, 2)
    again.close()
    path.write_text('{"id": 1}\n', encoding="utf-8")
    with pytest.raises(InvalidRequest, match="holds what is no reply"):
        Cache(path)


def test_prompts_name_what_they_have_to(tmp_path):
    for protocol, places in PLACES.items():
        assert load(protocol).templates.keys() == places.keys()
    path = tmp_path / "mine.toml"
    for text, fault in (
        (PROMPTS.replace("{topic}", "{topics}"), r"paragraph names \['topics'\]; it must name {topic}"),
        (PROMPTS.replace("{topic}", "{topic} {"), "double every brace"),
        ("topics = 'a'", "it must have topics, paragraph"),
        ("topics", "cannot be read"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InvalidRequest, match=fault):
            load("clqa", path)


def test_languages_are_named_in_english():
    assert [name_of(code) for code in ("zh", "tr", "is")] == ["Chinese", "Turkish", "Icelandic"]
    for code in ("en", "xx", "!"):
        with pytest.raises(InvalidRequest, match="is not the code of a language beside English"):
            name_of(code)
