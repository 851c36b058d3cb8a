"""A judge's reply is read strictly: what is not exactly what was asked for is malformed, and says why."""

import pytest

from xmguard.errors import InvalidRequest
from xmguard_research.judge.asking import Completion, NoReply, PromptedJudge
from xmguard_research.judge.prompts import TEMPLATE, JudgePrompt, from_file
from xmguard_research.judge.replies import read
from xmguard_research.judge.values import Exchange, Judgement, Source, Status

YES = '{"contradict_score": 1}'
NO = '{"contradict_score": 0}'
ASKED = Exchange("When was it built?", "In 1904 or {1911}.")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (f"```json\n{YES}\n```", True),
        (f"```\n{NO}\n```", False),
        (f"Both texts agree.\n~~~JSON\n{NO}\n~~~\nThat is all.", False),
        (f"```json{YES}```", True),
        (f"First I thought ```{YES}```, but no: ```{NO}```", False),
        (f"```json\n{YES}", True),
        (YES, True),
        (f"I say {NO}, no, {YES}.", True),
        (f'The response says "1904 {{or}} 1911". {YES}', True),
        ('{ "contradict_score" :\n1 }', True),
    ],
)
def test_the_last_block_counts_or_else_the_last_object(reply, said):
    assert read(reply) == Judgement(Status.PARSED, said, reply=reply)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("Yes, they contradict each other.", "neither"),
        ("1", "neither"),
        (f"```json\n{YES}\n```\n```json\n{{}}\n```", "one key"),
        (f"```json\n{YES}\n``` and ```", "block is empty"),
        (f"{YES} or rather {{contradict_score: 0}}", "not: Expecting"),
        ('{"contradict_score": 0 or 1}', "not: Expecting"),
        ('{"contradict_score": 1', "not closed"),
        (f"{YES} {{", "not closed"),
        ('{"contradict_score": true}', "not true"),
        ('{"contradict_score": 1.0}', "not 1.0"),
        ('{"contradict_score": "1"}', 'not "1"'),
        ('{"contradict_score": null}', "not null"),
        ('{"contradict_score": 2}', "not 2"),
        ('{"contradict_score": -1}', "not -1"),
        ('{"contradict_score": NaN}', "NaN is no JSON"),
        ('{"contradict_score": 1, "contradict_score": 0}', "twice"),
        ('{"contradict_score": 1, "why": "differs"}', "one key"),
        ('{"Contradict_score": 1}', "one key"),
        ('{"verdict": {"contradict_score": 1}}', "one key"),
        (f"```json\n[{YES}]\n```", "JSON object"),
        (f"```json\n{YES} {NO}\n```", "Extra data"),
        ("```" + "[" * 100_000, "deeply"),
    ],
)
def test_anything_else_is_malformed_and_never_a_no(reply, why):
    judgement = read(reply)
    assert (judgement.status, judgement.mentions_conflict) == (Status.MALFORMED, None)
    assert why in judgement.reason
    assert judgement.reply == reply


@pytest.mark.parametrize(
    ("status", "said", "reason"),
    [(Status.MALFORMED, False, "x"), (Status.ERROR, True, "x"), (Status.PARSED, None, ""), (Status.ERROR, None, "")],
)
def test_a_judgement_cannot_be_half_one(status, said, reason):
    with pytest.raises(ValueError, match=status.name):
        Judgement(status, said, reason)


def test_the_built_in_prompt_shows_the_exchange_and_is_no_judgement_itself():
    filled = JudgePrompt(TEMPLATE).fill(ASKED)
    assert ASKED.question in filled
    assert ASKED.response in filled
    assert read(filled).status is Status.MALFORMED


def test_a_prompt_of_ones_own_may_show_the_sources():
    template = "Q: {question}\nR: {response}\nS: {sources}\nReply {{...}}."
    exchange = Exchange("Who?", "Ann.", (Source("Text 1", "Ann came.", "Ann"), Source("Text 2", answer="{question}")))
    assert JudgePrompt(template).fill(exchange) == (
        "Q: Who?\nR: Ann.\nS: Text 1:\nAnn came.\nIts answer: Ann\n\nText 2:\nIts answer: {question}\nReply {...}."
    )


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{question}", "{response} is missing"),
        ("{question} {response} {answer}", "{answer} is no place"),
        ("{question} {response.__class__}", "{response.__class__} is no place"),
        ("{question} {response!r}", "no conversion"),
        ("{question:>9} {response}", "no format"),
        ("{question} {response} {}", "{} is no place"),
        ('{question} {response} {"contradict_score": 1}', "is no place"),
        ("{question} {response} {", "double every brace"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused_with_its_file(template, why, tmp_path):
    path = tmp_path / "judge.txt"
    path.write_text(template, encoding="utf-8")
    with pytest.raises(InvalidRequest) as refused:
        from_file(path)
    assert why in str(refused.value)
    assert "judge.txt" in str(refused.value)


def test_a_template_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "judge.txt").write_bytes(b"\xff")
    for name in ("judge.txt", "none.txt"):
        with pytest.raises(InvalidRequest, match="cannot be read"):
            from_file(tmp_path / name)


def asked(*replies: Completion | NoReply, retries: int = 2) -> Judgement:
    waiting = list(replies)

    def complete(prompt: str) -> Completion:
        assert ASKED.response in prompt
        reply = waiting.pop(0)
        if isinstance(reply, NoReply):
            raise reply
        return reply

    judged = PromptedJudge("test", "test", JudgePrompt(TEMPLATE), complete, retries=retries, first_wait=0).judge(ASKED)
    assert not waiting
    return judged


def test_a_malformed_reply_is_asked_for_again():
    assert asked(Completion("hm", 2), Completion(YES, 3)) == Judgement(Status.PARSED, True, reply=YES, attempts=5)


def test_what_stays_malformed_says_so_with_the_last_reply():
    judged = asked(Completion("a"), Completion("", malformed="no text"), Completion("c"))
    assert (judged.status, judged.reply, judged.attempts) == (Status.MALFORMED, "c", 3)


def test_no_reply_is_an_error_and_ends_the_asking():
    judged = asked(Completion("a"), NoReply("timed out", 4))
    assert judged == Judgement(Status.ERROR, None, "timed out", attempts=5)


def test_another_wording_is_another_judge():
    judges = [
        PromptedJudge("test", "test", JudgePrompt(template), lambda prompt: Completion(YES), retries=0)
        for template in (TEMPLATE, TEMPLATE + " ")
    ]
    assert judges[0].produced_by != judges[1].produced_by
