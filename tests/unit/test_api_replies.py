"""From the chunks of a stream to pieces of text with their log-probabilities."""

import json

import pytest

from xmguard.backends.openai.pieces import piece, text
from xmguard.backends.openai.replies import Malformed, Piece, Reply
from xmguard.backends.openai.session import SAID, verdict_logits


class Chunk(dict):
    """As the client hands them over."""

    def to_dict(self, **options):
        return self


def chunk(content=None, *tokens, finish=None, **fields):
    """A chunk with a text and tokens, each a text or bytes, of log-probability -1."""
    told = [
        {
            "token": one if isinstance(one, str) else one.decode(errors="replace"),
            "bytes": None if isinstance(one, str) else list(one),
            "logprob": -1.0,
            "top_logprobs": [],
        }
        for one in tokens
    ]
    choice = {"delta": {"content": content}, "logprobs": {"content": told} if told else None, "finish_reason": finish}
    return Chunk({"choices": [choice], **fields})


def heard(*chunks):
    reply = Reply()
    return [(one.content, one.logprob) for each in chunks for one in reply.take(each)] + [
        (one.content, one.logprob) for one in reply.rest()
    ]


LOST = "\N{REPLACEMENT CHARACTER}e".encode()
FIRST, SECOND = "年".encode()[:1], "年".encode()[1:]


@pytest.mark.parametrize(
    ("chunks", "pieces"),
    [
        ([chunk("It"), chunk(" is")], [(b"It", None), (b" is", None)]),
        ([chunk("It", "It"), chunk(" is", " is")], [(b"It", -1.0), (b" is", -1.0)]),
        ([chunk("It is", "It", " is")], [(b"It", -1.0), (b" is", -1.0)]),
        ([chunk("", FIRST), chunk("年", SECOND)], [(FIRST, -1.0), (SECOND, -1.0)]),
        ([chunk("Pa", "Paris"), chunk("ris")], [(b"Paris", -1.0)]),
        ([chunk("Paris", " Paris"), chunk(" is", " is")], [(b"Paris", -1.0), (b" is", -1.0)]),
        ([chunk("It", "It"), chunk("", b""), chunk("年", "年")], [(b"It", -1.0), ("年".encode(), -2.0)]),
        ([chunk("It", "It"), chunk("", b""), chunk("\N{REPLACEMENT CHARACTER}e", "e")], [(b"It", -1.0), (LOST, -2.0)]),
        ([chunk("", b""), chunk("\N{REPLACEMENT CHARACTER}e", "e")], [(LOST, -2.0)]),
        ([chunk("It", "It"), chunk("", "<|end|>", finish="stop")], [(b"It", -1.0)]),
        ([chunk("Yes", "No"), chunk(" is", " is")], [(b"Yes", None), (b" is", None)]),
        ([chunk("It", "It"), chunk(" is"), chunk(" so", " so")], [(b"It", -1.0), (b" is", None), (b" so", None)]),
        ([Chunk({"choices": [{"delta": {"refusal": "I will not."}}]})], [(b"I will not.", None)]),
    ],
)
def test_log_probabilities_are_laid_onto_the_text_as_long_as_they_spell_it(chunks, pieces):
    assert heard(*chunks) == pieces


def test_what_is_no_log_probability_is_none():
    strange = chunk("ab", "a", "b")
    for entry, value in zip(strange["choices"][0]["logprobs"]["content"], (float("nan"), 2.0), strict=True):
        entry["logprob"] = value
    assert heard(strange) == [(b"a", None), (b"b", None)]


def test_usage_and_the_end_are_taken_from_wherever_they_come():
    reply = Reply()
    reply.take(chunk("It", finish="length"))
    usage = {"prompt_tokens": 7, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 4}}
    reply.take(Chunk({"choices": [], "usage": usage}))
    assert (reply.finish, reply.tokens.prompt, reply.tokens.generated, reply.tokens.cached) == ("length", 7, 1, 4)
    assert not reply.reasoned
    reply.take(Chunk({"choices": [{"delta": {"reasoning_content": "Let me see"}}]}))
    assert reply.reasoned


@pytest.mark.parametrize(
    "sent",
    [
        "{}",
        '{"choices": 7}',
        '{"choices": ["a"]}',
        '{"choices": [{"delta": {"content": 5}}]}',
        '{"choices": [{"delta": {}, "logprobs": {"content": [{"token": "a"}]}}]}',
        '{"choices": [{"delta": {}, "logprobs": {"content": [{"token": "a", "logprob": -1, "bytes": [999]}]}}]}',
        '{"choices": [], "usage": {"prompt_tokens": "many"}}',
    ],
)
def test_a_chunk_that_is_none_is_malformed(sent):
    with pytest.raises(Malformed):
        Reply().take(Chunk(json.loads(sent)))


def test_pieces_say_together_what_they_were_made_of():
    parts = ["It is ", "\0", "", FIRST, SECOND, "🦆"]
    assert text([piece(one) for one in parts]) == "It is \0年🦆"
    assert text([piece(FIRST)]) == "\N{REPLACEMENT CHARACTER}"
    assert len({piece(one) for one in ("", "\0", "\0\0", "a", "\0a")}) == 5


@pytest.mark.parametrize(
    ("said", "logits"),
    [
        (["Conflict", "."], (SAID, 0.0, 0.0)),
        (["**", "agree"], (0.0, 0.0, 0.0)),
        (["Ag", "reement"], (0.0, SAID, 0.0)),
        (["unanswered"], (0.0, 0.0, SAID)),
        (["I", " think conflict"], (0.0, 0.0, 0.0)),
        (["Un", "clear"], (0.0, 0.0, 0.0)),
        ([], (0.0, 0.0, 0.0)),
    ],
)
def test_a_word_of_a_pair_counts_where_no_probability_is_told(said, logits):
    assert verdict_logits([Piece(one.encode()) for one in said]) == logits


def test_the_probabilities_of_the_words_are_those_of_the_tokens_they_begin_with():
    likeliest = {"Conf": -0.5, " conflict": -3.0, "Ag": -1.5, "The": -2.0, "?": -9.0}
    found = verdict_logits([Piece(b"\n"), Piece(b"Conf", -0.5, likeliest), Piece(b"lict", -0.1, {"lict": -0.1})])
    assert found == pytest.approx((-0.4211, -1.5, -9.0), abs=1e-4)
    assert verdict_logits([Piece(b"The", -0.1, {"The": -0.1, "A word": -4.0})]) == (0.0, 0.0, 0.0)
