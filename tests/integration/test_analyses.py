"""Analyses of a tiny model with random weights: their numbers are the guard's, and nothing is asked twice."""

import json

import numpy as np
import pytest

from tests.integration.pictures import registry_with_sketches, sketch
from xmguard import AnswerRequest, Decoding, OnConflict, OnError, Rebalance, Span
from xmguard.errors import InvalidRequest
from xmguard.guard import Guard
from xmguard.request import Detail, Prompt
from xmguard_research.analyses import balance, contributions, dominance, order, reading, steering
from xmguard_research.analyses import sweep as sweeping
from xmguard_research.analyses.opening import Asking, opened, pairs
from xmguard_research.analyses.outcome import About, write
from xmguard_research.analyses.reading import read, readings
from xmguard_research.analyses.steering import PLAIN, Setting
from xmguard_research.benchmarks.cases import Case
from xmguard_research.judge.rules import RuleJudge
from xmguard_research.metrics import Bootstrap, modality_dominance

DRAWS = 50
ASKING = Asking(tokens=6)
RED, GREEN = Span("s1", "The door is red.", language="en"), Span("s2", "La puerta es verde.", language="es")


def case(name="door", first=RED, second=GREEN, conflict=True):
    answers = ("red", "green") if first is RED else ("green", "red")
    variant = f"{first.language}-{second.language}"
    asked = f"Which colour is the {name}?"
    return Case(f"{name}/{variant}/{conflict}", name, variant, asked, (first, second), conflict, answers)


CASES = [case(), case(first=GREEN, second=RED), case("gate"), case("gate", first=GREEN, second=RED)]


@pytest.fixture(scope="module")
def guard(tiny_backend, registry):
    return Guard(tiny_backend, registry, model="tiny")


@pytest.fixture(scope="module")
def read_cases(guard, tmp_path_factory):
    return readings(guard, CASES, ASKING, tmp_path_factory.mktemp("rows") / "rows.jsonl")


def request(of, **changes):
    return AnswerRequest(
        spans=of.spans,
        question=of.question,
        prompt=Prompt.STANDARD,
        decoding=Decoding(max_tokens=ASKING.tokens),
        on_conflict=OnConflict.PLAIN,
        on_error=OnError.OPEN,
        detail=Detail(alone_answers=True, toward_answer=True),
        **changes,
    )


def test_a_reading_is_what_the_guard_reports(guard, read_cases):
    of, row = read_cases[1]
    explained = guard.explain(request(of, rebalance=Rebalance("none")))
    response = explained.response
    assert row.answer == response.raw_answer
    for column, expected in {
        "contributions": [span.contribution_before for span in response.spans],
        "toward_answer": [span.toward_answer for span in response.spans],
        "tokens": [span.tokens for span in response.spans],
        "entropies": [span.entropy_alone for span in response.spans],
    }.items():
        assert getattr(row, column) == pytest.approx(expected, rel=1e-5), column
    assert row.alone == [span.answer_alone for span in response.spans]
    assert row.labels == [span.language for span in response.spans] == ["es", "en"]
    np.testing.assert_allclose(row.generated, explained.generated.masses, rtol=1e-5)
    np.testing.assert_allclose(np.array(row.generated).sum(-1), 1.0, rtol=1e-5)


def test_the_layers_of_the_table_average_to_the_headline_contribution(guard, read_cases):
    found = contributions.outcome(read_cases, resamples=DRAWS)
    groups = found.values["groups"]
    assert list(groups) == ["en-es", "es-en", "en and es, both orders"]
    headline = [guard.check(request(of, rebalance=Rebalance("none"))).spans for of in CASES]
    for name, chosen in {"en-es": [0, 2], "es-en": [1, 3], "en and es, both orders": [0, 1, 2, 3]}.items():
        own = groups[name]
        for side, language in (("a", "en"), ("b", "es")):
            reported = [
                span.contribution_before for place in chosen for span in headline[place] if span.language == language
            ]
            layers = [layer["value"] for layer in own[f"by_layer_{side}"]]
            assert len(layers) == 3
            assert np.mean(layers) == pytest.approx(np.mean(reported), rel=1e-5)
            assert own[f"norm_{side}"]["value"] == pytest.approx(np.mean(reported), rel=1e-5)
        assert own["log_ratio"]["value"] == pytest.approx(np.log(own["norm_a"]["value"] / own["norm_b"]["value"]))
        assert own["log_ratio"]["low"] <= own["log_ratio"]["value"] <= own["log_ratio"]["high"]
        assert np.array(own["log_ratio_by_head"]).shape == (3, 6)
    assert (groups["es-en"]["side_a"], groups["es-en"]["side_b"]) == ("en second", "es first")
    heads = np.array([row.norms for _, row in read_cases])[[0, 2]].mean(0)
    np.testing.assert_allclose(groups["en-es"]["log_ratio_by_head"], np.log(heads[..., 1] / heads[..., 2]))


def test_the_direction_is_compared_with_the_norm(read_cases):
    own = contributions.outcome(read_cases, resamples=DRAWS).values["groups"]["en and es, both orders"]
    same = [np.argmax(row.contributions) == np.argmax(row.toward_answer) for _, row in read_cases]
    assert own["same_larger"]["value"] == np.mean(same)
    assert own["answers"] == 4
    pushes = [
        row.toward_known[place][place] > row.toward_known[1 - place][place] for _, row in read_cases for place in (0, 1)
    ]
    assert own["own_answer"]["value"] == np.mean(pushes)
    assert own["sources_of_conflicts"] == 8


def test_no_bias_is_the_plain_answer_and_a_bias_is_the_guards(guard, tmp_path):
    settings = sweeping.settings("epsilon", [0.0, 3.0], "later", ["readers", "generated", "all"])
    (swept,) = steering.sweep(guard, CASES[:1], settings, ASKING, tmp_path / "rows.jsonl")
    plain = guard.answer(request(CASES[0], rebalance=Rebalance("none"))).raw_answer
    for setting in settings:
        answer = guard.answer(request(CASES[0], rebalance=setting.rebalance("s2"))).raw_answer
        assert swept.answers[setting.name] == answer
        assert (answer == plain) is (setting.amount == 0.0), setting
    assert len(swept.answers) == 4, "no bias is read once, whatever the scope"


def test_a_target_share_is_the_guards_and_lies_on_the_weaker_source(guard, tmp_path):
    (setting,) = sweeping.settings("share", [0.7], "weaker", ["readers"])
    (swept,) = steering.sweep(guard, CASES[:1], [setting], ASKING, tmp_path / "rows.jsonl")
    checked = guard.check(request(CASES[0], rebalance=Rebalance("none")))
    weaker = checked.imbalance.under_attended
    assert CASES[0].spans[swept.steered("weaker")].id == weaker
    assert swept.steered("later") == 1
    steered = guard.answer(request(CASES[0], rebalance=Rebalance("target", {"share": 0.7})))
    assert swept.answers[setting.name] == steered.raw_answer != swept.answers[PLAIN]


def test_a_run_that_was_stopped_asks_nothing_twice(guard, tmp_path, monkeypatch):
    opens = []

    kind = type(guard.backend)
    real = kind.open

    def counting(backend, prompt, stop):
        opens.append(prompt)
        return real(backend, prompt, stop)

    monkeypatch.setattr(kind, "open", counting)
    rows = tmp_path / "rows.jsonl"
    few = sweeping.settings("epsilon", [0.0, 2.0], "later", ["readers"])
    steering.sweep(guard, CASES[:2], few, ASKING, rows)
    whole = rows.read_bytes()
    assert len(opens) == 2
    rows.write_bytes(whole[:-20])  # a kill in the last line
    steering.sweep(guard, CASES[:2], few, ASKING, rows)
    assert rows.read_bytes() == whole
    assert len(opens) == 3
    steering.sweep(guard, CASES[:2], few, ASKING, rows)
    assert len(opens) == 3
    more = [*few, *sweeping.settings("share", [0.5], "later", ["readers"])]
    steering.sweep(guard, CASES[:2], more, ASKING, rows)
    assert len(rows.read_text(encoding="utf-8").splitlines()) == 6, "only the new setting was decoded"
    steering.sweep(guard, CASES[:1], few, Asking(tokens=3), rows)
    assert len(opens) == 6, "a shorter answer is another answer"


def test_readings_are_resumed_and_equal_what_was_read(guard, read_cases, tmp_path, monkeypatch):
    rows = tmp_path / "rows.jsonl"
    first = readings(guard, CASES[:1], ASKING, rows)
    monkeypatch.setattr(reading, "read", lambda *_: pytest.fail("asked twice"))
    assert readings(guard, CASES[:1], ASKING, rows) == first == read_cases[:1]


def test_attention_of_the_answer_becomes_dominance(guard, read_cases):
    found = dominance.outcome(read_cases, resamples=DRAWS).values
    assert found["too_short"] == 0
    own = found["groups"]["es-en"]
    assert list(own) == ["early", "middle", "late", "all"]
    measured = [guard.explain(request(of, rebalance=Rebalance("none"))).generated for of in (CASES[1], CASES[3])]
    english, spanish = (np.mean([each.attention[span] for each in measured]) for span in ("s1", "s2"))
    expected = modality_dominance(english, spanish, len(RED.text), len(GREEN.text))  # a byte is a token
    for name, value in {
        "mdi": expected.mdi,
        "aei_a": expected.aei_text,
        "aei_b": expected.aei_other,
        "share_a": expected.text_share,
        "mass_a": english,
        "tokens_b": expected.other_tokens,
    }.items():
        assert own["all"][name]["value"] == pytest.approx(value, rel=1e-5), name
    thirds = [np.mean([each.masses[0] for each in measured], axis=(0, 1))[2]]
    assert own["early"]["mass_a"]["value"] == pytest.approx(thirds[0], rel=1e-5)


def test_contributions_by_place_come_from_both_orders(read_cases, registry):
    own = order.outcome(read_cases, registry, resamples=DRAWS).values["groups"]["en-es and es-en"]
    assert (own["pairs"], own["conflicts"]) == (2, 2)
    norms = np.array([row.contributions for _, row in read_cases])
    assert own["norm_first"]["value"] == pytest.approx(norms[:, 0].mean())
    assert own["log_ratio"]["value"] == pytest.approx(np.log(norms[:, 0].mean() / norms[:, 1].mean()))
    assert own["first"] + own["second"] + own["neither"] == 4
    with pytest.raises(InvalidRequest, match="no case in both orders"):
        order.outcome(read_cases[:1], registry)


def test_an_outcome_is_written_for_whoever_does_not_know_it(guard, read_cases, registry, tmp_path):
    chosen = sweeping.settings("share", [0.2, 0.5], "later", ["readers"])
    swept = steering.sweep(guard, CASES[:1], chosen, ASKING, tmp_path / "rows.jsonl")
    questions = {of.id: of.question for of in CASES}
    for found in (
        contributions.outcome(read_cases[:1], resamples=DRAWS),
        dominance.outcome(read_cases[:1], resamples=DRAWS),
        order.outcome(read_cases[:2], registry, resamples=DRAWS),
        balance.outcome(read_cases[:1], registry, resamples=DRAWS),
        sweeping.outcome(swept, chosen, questions, RuleJudge(), registry, resamples=DRAWS),
    ):
        folder = tmp_path / found.analysis
        write(found, About("tiny", "doors", 2, "xmguard bench analyse"), folder)
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        assert summary["analysis"] == found.analysis
        assert {"model", "suite", "items", "command", "title", "caption", "values"} <= set(summary)
        assert len(summary["table"]) > 1
        for table in (summary["table"], *(one["table"] for one in summary["more_tables"])):
            assert {len(row) for row in table} == {len(table[0])}
            assert all(isinstance(cell, str) for row in table for cell in row)
        assert summary["figures"]
        assert all((folder / name).read_bytes().endswith(b"</svg>\n") for name in summary["figures"])
        assert summary["title"] in (folder / "table.md").read_text(encoding="utf-8")


def test_pictures_are_sides_like_texts(tmp_path_factory):
    from xmguard.backends.transformers.loader import load
    from xmguard.testing.tiny_pictures import make_picture_model

    registry = registry_with_sketches()
    folder = make_picture_model(tmp_path_factory.mktemp("pictures"), "Qwen2VL")
    seeing = Guard(load(folder, registry=registry), registry, model="tiny")
    drawn = Span("s2", media=sketch(1))
    seen = Case("a", "a", "image-text", "Which colour is the door?", (drawn, RED), True, ("green", "red"))
    assert Asking("figure5").prompt_of(seen) is Prompt.EXPLICIT
    assert Asking("figure5").prompt_of(CASES[0]) is Prompt.STANDARD
    row = read(seeing, seen, ASKING)
    assert row.labels == ["sketch", "text"]
    own = contributions.outcome([(seen, row)], resamples=DRAWS).values["groups"]["image-text"]
    assert (own["side_a"], own["side_b"]) == ("text second", "sketch first")
    assert own["norm_a"]["value"] == pytest.approx(row.contributions[1])


def test_what_cannot_be_asked_is_refused(guard):
    with pytest.raises(InvalidRequest, match="'loud' is not one of standard, instructed, explicit, figure5"):
        Asking("loud")
    with pytest.raises(InvalidRequest, match="epsilon: is nan; from -20 to 20"):
        Setting("epsilon", float("nan"))
    with pytest.raises(InvalidRequest, match="share: is 1"):
        Setting("share", 1.0)
    with pytest.raises(InvalidRequest, match="'some' is not one of readers, all, generated"):
        Setting("epsilon", 1.0, scope="some")
    with pytest.raises(InvalidRequest, match="holds no case"):
        pairs([])
    long = case(first=Span("s1", "red " * 400, language="en"))
    refused = pytest.raises(InvalidRequest, match=r"door/en-es/True: spans: the prompt takes \d+ tokens; .* holds 1024")
    with refused, opened(guard, long, ASKING):
        pass


def test_draws_are_of_items(read_cases):
    own = contributions.outcome(read_cases, resamples=DRAWS).values["groups"]["en-es"]
    norms = [row.contributions for of, row in read_cases if of.variant == "en-es"]
    draws = Bootstrap(["door", "gate"], resamples=DRAWS)
    expected = draws.of_sums(lambda a, b: np.log(a / b), *zip(*norms, strict=True))
    assert (own["log_ratio"]["low"], own["log_ratio"]["high"]) == (expected.low, expected.high)
