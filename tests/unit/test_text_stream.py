from hypothesis import given
from hypothesis import strategies as st

from xmguard.contracts import Token
from xmguard.text_stream import TextStream


def decode(ids):
    return bytes(ids).decode("utf-8", errors="replace")


def tokens(data):
    ids = list(data.encode())
    return [Token("joint", byte, 0.0, 0.0, index == len(ids) - 1, False) for index, byte in enumerate(ids)]


@given(st.text(min_size=1))
def test_pieces_join_to_the_whole_and_no_character_is_halved(text):
    stream = TextStream(decode)
    pieces = [stream.push(token) for token in tokens(text)]
    assert "".join(pieces) == stream.text == text.lstrip()
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces).replace(text, "") or "\N{REPLACEMENT CHARACTER}" in text


def test_a_character_waits_for_its_last_byte():
    stream = TextStream(decode)
    assert [stream.push(token) for token in tokens("é!")] == ["", "é", "!"]


def test_an_answer_cut_inside_a_character_shows_that():
    stream = TextStream(decode)
    stream.push(Token("joint", ord("a"), 0, 0, False, False))
    assert stream.push(Token("joint", "é".encode()[0], 0, 0, True, False)) == "\N{REPLACEMENT CHARACTER}"


def test_the_end_token_is_no_text():
    stream = TextStream(decode)
    stream.push(Token("joint", ord("a"), 0, 0, False, False))
    assert stream.push(Token("joint", ord("b"), 0, 0, True, True)) == ""
    assert stream.text == "a"
