"""What is read of a data folder to train on, and what is told of one that cannot be trained on."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.mixing_recipes import write
from xmguard.errors import InvalidRequest, ModelRefused
from xmguard_research.mixing.bases import Base
from xmguard_research.mixing.encoding import Encoded
from xmguard_research.mixing.pictures import Placed
from xmguard_research.mixing.readers import load_reader
from xmguard_research.mixing.recipe import Train
from xmguard_research.mixing.rows import Rows, read_rows

ONE = Encoded((1, 2, 3, 4), (range(3, 4),), 2)
TWO = Encoded((1, 2, 3, 4), (range(1, 2), range(3, 4)), 2)
SHOWN_LAST = Encoded((1, 2, 3, 4), (range(3, 4),), 2, (Placed("a.png", 2),))


def read(file: Path, *encoded: Encoded, acts_on: Any = "all") -> Rows:
    """Rows of a file, each of whose instances is encoded as is given."""
    content = [{"type": "text", "text": text} for text in ("Sources:", "What?")]
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": []}]
    write(file, [{"id": f"i{index}", "messages": messages} for index in range(len(encoded))])
    found = iter(encoded)
    return read_rows(file, SimpleNamespace(encode=lambda instance: next(found)), Train(acts_on=acts_on))


def test_contexts_are_told_apart_where_they_are_read_apart(tmp_path: Path):
    file = tmp_path / "instances.jsonl"
    assert read(file, ONE, TWO) == Rows((ONE, TWO))
    apart = read(file, ONE, ONE, acts_on="answer")
    assert apart.encoded == (ONE, ONE)
    assert apart.contexts[0] == apart.contexts[1] is not None


@pytest.mark.parametrize(
    ("encoded", "said"), [(TWO, "instance i1 holds 2 replies; give"), (SHOWN_LAST, "instance i1 ends with one; put")]
)
def test_an_adapter_of_the_answer_takes_one_reply_to_a_question_after_its_pictures(
    tmp_path: Path, encoded: Encoded, said: str
):
    assert len(read(tmp_path / "instances.jsonl", ONE, encoded)) == 2
    with pytest.raises(InvalidRequest, match=rf"train\.acts_on: is 'answer', .*{said}"):
        read(tmp_path / "instances.jsonl", ONE, encoded, acts_on="answer")


def test_a_file_that_is_not_there_or_broken_is_named(tmp_path: Path):
    file = tmp_path / "instances.jsonl"
    with pytest.raises(InvalidRequest, match=r"instances\.jsonl is not there; make it with: xmguard mix build"):
        read_rows(file, SimpleNamespace(), Train())
    file.write_text('{"id": ', encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"instances\.jsonl:1: is not JSON .*; build the data again"):
        read_rows(file, SimpleNamespace(), Train())


def test_a_tokenizer_that_cannot_be_read_is_said_to_be_so(tmp_path: Path, tiny_folder: Path):
    for name in ("config.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_folder / name).read_bytes())
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": "none"}), encoding="utf-8")
    with pytest.raises(ModelRefused, match="its tokenizer cannot be read: "):
        load_reader(Base("tiny", tmp_path), SimpleNamespace())
