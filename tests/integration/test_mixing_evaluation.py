"""A tiny model asked by the evaluation of checkpoints: it says and reads what the guard says of it, once."""

import json
from dataclasses import replace

import pytest
import typer

from tests.integration.bench.art import require_art
from xmguard import AnswerRequest, Decoding, OnConflict, OnError, Rebalance, loading
from xmguard.errors import InvalidRequest
from xmguard.guard import Guard
from xmguard.request import Prompt
from xmguard_research.mixing import command_evaluate, evaluating, processor
from xmguard_research.mixing.command_evaluate import wants
from xmguard_research.mixing.evaluating import RESPONSES, evaluate
from xmguard_research.mixing.folders import held
from xmguard_research.mixing.posing import CONFLICT, CROSS, SINGLE, Posed, Wanted, posed

PROMPTS = {"standard": Prompt.STANDARD, "instructed": Prompt.INSTRUCTED, "explicit": Prompt.EXPLICIT}


@pytest.fixture(scope="module")
def guard(tiny_backend, registry):
    return Guard(tiny_backend, registry, model="tiny")


@pytest.fixture(scope="module")
def conflicts():
    return list(posed(Wanted("clqa", ("en-es",), 1, 0)))


def test_what_is_evaluated_is_what_the_guard_answers(guard, conflicts, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluating, "TOKENS", 4)
    found = evaluate(guard, conflicts[:1], tmp_path)
    assert [row.prompt for row in found] == list(PROMPTS)
    case = conflicts[0].case
    for row in found:
        request = AnswerRequest(
            spans=case.spans,
            question=case.question,
            prompt=PROMPTS[row.prompt],
            rebalance=Rebalance("none"),
            decoding=Decoding(max_tokens=4),
            on_conflict=OnConflict.PLAIN,
            on_error=OnError.OPEN,
        )
        response = guard.answer(request)
        assert row.words == response.raw_answer.strip()
        assert row.norms == pytest.approx([span.contribution_before for span in response.spans], rel=1e-5)
        assert row.tokens == [span.tokens for span in response.spans]


def test_nothing_is_asked_twice_and_what_was_cut_short_is_asked_again(guard, conflicts, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluating, "TOKENS", 2)
    first = evaluate(guard, conflicts[:2], tmp_path)
    path = tmp_path / RESPONSES
    written = path.read_text()
    asked, answered = [], []
    honest = evaluating.respond

    def counted(guard, posed, produced_by, judge):
        asked.append((posed.case.id, posed.prompts))
        answered.extend(rows := honest(guard, posed, produced_by, judge))
        return rows

    monkeypatch.setattr(evaluating, "respond", counted)
    assert evaluate(guard, conflicts[:2], tmp_path) == first
    assert not asked
    with held(tmp_path, "written"), pytest.raises(InvalidRequest, match="is written by another process"):
        evaluate(guard, conflicts[:2], tmp_path)
    path.write_text(written[: written.rindex('"norms"')])  # as a kill leaves it
    again = evaluate(guard, conflicts[:2], tmp_path)
    assert asked == [(conflicts[1].case.id, ("explicit",))]
    assert again == [*first[:-1], *answered]
    # One prompt alone is another batch than three at once: its sums may differ in their last digits, and nothing else.
    assert replace(again[-1], norms=first[-1].norms) == first[-1]
    assert again[-1].norms == pytest.approx(first[-1].norms, rel=1e-6)
    assert evaluate(guard, conflicts[:2], tmp_path) == again
    assert len(asked) == 1
    rows = path.read_text().splitlines()
    assert rows[:-1] == written.splitlines()[:-1]
    assert len(rows) == len(first)


def test_cases_of_one_name_and_other_texts_are_told_apart(guard, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluating, "TOKENS", 2)
    long = next(posed(Wanted("clqa", ("en-en",), 0, 1)))
    (span,) = long.case.spans
    short = replace(long, case=replace(long.case, spans=(replace(span, text="It is green."),)))
    found = evaluate(guard, [short, long], tmp_path)
    assert found[0].tokens < found[1].tokens
    assert evaluate(guard, [long, short], tmp_path) == found[::-1]


def test_responses_under_another_setting_or_of_other_weights_are_refused(guard, conflicts, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluating, "TOKENS", 2)
    evaluate(guard, conflicts[:1], tmp_path)
    backend = replace(guard.backend, model_hash="0" * 64)
    with pytest.raises(typer.BadParameter, match="choose another file"):
        evaluate(Guard(backend, guard.registry, model="other"), conflicts[:1], tmp_path)
    monkeypatch.setattr(evaluating, "_RIGHT", 3)
    with pytest.raises(typer.BadParameter, match="choose another file"):
        evaluate(guard, conflicts[:1], tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(evaluating, "TOKENS", 3)
    with pytest.raises(typer.BadParameter, match="choose another file"):
        evaluate(guard, conflicts[:1], tmp_path)


def test_a_question_is_right_if_it_makes_the_expected_claim_or_holds_its_words(guard):
    right = evaluating._right
    assert right(guard, "9:40", "9:40") == (True, True)
    assert right(guard, "The green ferry leaves Ransey.", "green") == (False, True)
    assert right(guard, "It is red.", "green") == (False, False)
    assert right(guard, "anything", "") == (None, None)


@pytest.mark.parametrize(
    ("words", "expected", "right"),
    [
        ("Source 1: 670 meters.", "670 meters", (True, True)),
        ("Source 1: Orla Brennick.", "Orla Brennick", (True, True)),
        ("According to source 1: green.", "green", (True, True)),
        ("Source 1: not stated. Source 2: green.", "green", (True, True)),
        ("Source 1: green. Source 2: green. The sources agree.", "green", (True, True)),
        ("Source 1: green. Source 2: red. The sources disagree.", "green", (False, True)),
        ("Source 1: red.", "green", (False, False)),
        ("Source 1: not stated.", "green", (False, False)),
        ("Source 1: 3.", "1", (False, False)),  # the source's number is no answer
    ],
)
def test_a_reply_that_tells_each_source_is_as_right_as_what_it_says_they_answer(guard, words, expected, right):
    assert evaluating._right(guard, words, expected) == right


def test_conflicts_and_controls_are_asked_in_both_orders(conflicts):
    found = {(one.labels, one.case.conflict) for one in conflicts}
    assert found == {(order, conflict) for order in (("en", "es"), ("es", "en")) for conflict in (True, False)}
    assert {one.variant for one in conflicts} == {"en-es"}
    assert {one.prompts for one in conflicts} == {tuple(PROMPTS)}


def test_questions_are_over_one_source_and_over_two_of_different_topics():
    every = list(posed(Wanted("clqa", ("en-en", "en-es"), 0, 4)))
    single = [one for one in every if one.task == SINGLE]
    cross = [one for one in every if one.task == CROSS]
    assert {one.labels for one in single} == {("en",), ("es",)}
    assert len(single) == 8
    assert not any(one.case.conflict or one.task == CONFLICT for one in every)
    asked_of = {(one.labels, _place(one, single)) for one in cross}
    assert asked_of == {(labels, place) for labels in (("en", "es"), ("es", "en")) for place in (0, 1)}


def _place(one: Posed, single):
    """Of the source that answers: its text is that of the question over it alone."""
    own = {span.text for each in single if each.case.item == one.case.item for span in each.case.spans}
    (place,) = (place for place, span in enumerate(one.case.spans) if span.text in own)
    return place


def test_pictures_and_texts_meet_in_both_orders_too():
    require_art()
    every = list(posed(Wanted("cmqa", ("text-text", "text-image"), 1, 2, kinds=("activity", "price"))))
    pairs = {one.labels for one in every if one.task == CONFLICT}
    assert pairs == {("text", "text"), ("text", "image"), ("image", "text")}
    single = [one for one in every if one.task == SINGLE]
    assert {one.labels for one in single} == {("text",), ("image",)}
    assert all((one.case.spans[0].media is not None) == (one.labels == ("image",)) for one in single)
    cross = [one for one in every if one.task == CROSS]
    assert {one.labels for one in cross} == {("text", "image"), ("image", "text")}


def test_a_variant_goes_to_the_suite_that_has_it():
    settings = {"items": 1, "questions": 1, "prompts": "standard", "size": "short", "kinds": "", "seed": None}
    clqa, cmqa = wants("clqa,cmqa", "en-es,text-image", **settings)
    assert (clqa.variants, cmqa.variants) == (("en-es",), ("text-image",))
    with pytest.raises(InvalidRequest, match="of cmqa, which --suites does not name"):
        wants("clqa", "text-image", **settings)
    with pytest.raises(InvalidRequest, match="not one of clqa, cmqa"):
        wants("xquad", "", **settings)
    with pytest.raises(InvalidRequest, match="'shouted' is not one of standard"):
        wants("clqa", "", **(settings | {"prompts": "shouted"}))


def test_a_line_of_the_responses_is_an_object_of_its_own(guard, conflicts, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluating, "TOKENS", 2)
    evaluate(guard, conflicts[:1], tmp_path)
    rows = [json.loads(line) for line in (tmp_path / RESPONSES).read_text().splitlines()]
    assert len({row["key"] for row in rows}) == len(rows) == len(PROMPTS)


def test_the_command_keeps_in_the_card_what_it_measured_before_on_the_same_and_nothing_else(
    guard, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(evaluating, "TOKENS", 2)
    monkeypatch.setattr(loading, "load_guard", lambda *ignored, **ignored_too: guard)
    monkeypatch.setattr(processor, "emulation", lambda option: f"bfloat16 is slow, take {option}")
    card = tmp_path / "xmguard.json"
    stale = {"suite": "clqa", "variant": "de-de", "prompt": "standard", "what": "detection"}
    card.write_text(json.dumps({"measured": {"model_hash": "another"}, "benchmarks": [stale]}))
    said = []
    for variant, dtype in (("en-en", "bfloat16"), ("es-es", "float32")):
        asked = {"variants": variant, "dtype": dtype, "items": 1, "questions": 0, "prompts": "standard", "write": True}
        command_evaluate.evaluate(str(tmp_path), tmp_path / "out", **asked)
        shown = " ".join(capsys.readouterr().err.split())
        said.append(("1 rows of the card are gone" in shown, "bfloat16 is slow, take --dtype float32" in shown))
    assert said == [(True, True), (False, False)]
    other = Guard(replace(guard.backend, model_hash="0" * 64), guard.registry, model="other")
    monkeypatch.setattr(loading, "load_guard", lambda *ignored, **ignored_too: other)
    with pytest.raises(InvalidRequest, match=r"--out: .*holds results of .*; choose another file, since this is 0000"):
        command_evaluate.evaluate(str(tmp_path), tmp_path / "out", **asked)
    written = json.loads(card.read_text())
    settings = {"clqa": {"size": "short", "seed": None}}
    assert written["measured"] == {**evaluating.stamped(guard), "settings": settings}
    assert {row["variant"] for row in written["benchmarks"]} == {"en-en", "es-es"}


def test_what_is_chosen_by_is_asked_beside_what_is_measured(guard, conflicts, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluating, "TOKENS", 2)
    dev = list(posed(Wanted("dev", ("en-es",), 1, 0, prompts=("standard",))))[:1]
    found = evaluate(guard, [*dev, *conflicts[:1]], tmp_path)
    assert [row.suite for row in found] == ["dev"] + ["clqa"] * len(PROMPTS)
    assert found[0].tokens != found[1].tokens
