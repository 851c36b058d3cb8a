"""Sources: what is read of them, and what is told of one that is missing, empty or of another schema."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pictures

from tests.unit.mixing_recipes import recipe, records, write
from xmguard.errors import InvalidRequest
from xmguard_research.mixing.items import Image, Item, Seen
from xmguard_research.mixing.sources import read

USER, REPLY = {"role": "user", "content": "What?"}, {"role": "assistant", "content": "That."}


def items(folder: Path, source: dict[str, Any], **generators) -> tuple[Item, ...]:
    """Of one source, in a recipe that has no other."""
    told = recipe(folder, folder, [{"name": "s", "modality": "en", **source}], strategy="dataset")
    return read(told, generators)[0].items


def refusal(folder: Path, source: dict[str, Any], **generators) -> str:
    with pytest.raises(InvalidRequest) as caught:
        items(folder, source, **generators)
    return str(caught.value)


def of_line(folder: Path, row: Any) -> str:
    """What is said of a file whose second item is this one."""
    write(folder / "s.jsonl", [*records("s", 1), row])
    return refusal(folder, {"path": "s.jsonl"})


def said(item: Item) -> list[tuple[str, tuple[Any, ...]]]:
    return [(message.role, message.content) for message in item.messages]


def png(file: Path) -> bytes:
    file.parent.mkdir(parents=True, exist_ok=True)
    Pictures.new("RGB", (8, 8), "red").save(file)
    return file.read_bytes()


def test_items_are_read_as_they_stand_in_the_file(tmp_path: Path):
    rows = records("s", 2)
    rows[1]["meta"] = {"topic": "rivers"}
    write(tmp_path / "s.jsonl", rows)
    first, second = items(tmp_path, {"path": "s.jsonl"})
    assert said(first) == [("user", ("Read.\n\n", "s 0", "\n\nWhat?")), ("assistant", ("It is s 0.",))]
    assert (first.id, first.source, first.modality) == ("s-0", "s", "en")
    assert second.meta == {"topic": "rivers"}
    assert second.where.endswith("s.jsonl:2")


def test_columns_that_the_recipe_names_become_items(tmp_path: Path):
    write(tmp_path / "s.jsonl", [{"q": "What?", "a": "That.", "n": 7, "more": None}])
    (one,) = items(tmp_path, {"path": "s.jsonl", "prompt": "q", "answer": "a", "id": "n"})
    assert one.id == "7"
    assert said(one) == [("user", ("What?",)), ("assistant", ("That.",))]
    write(tmp_path / "s.jsonl", [{"chat": [USER, REPLY]}])
    (one,) = items(tmp_path, {"path": "s.jsonl", "messages": "chat"})
    assert one.id == "s-1"
    assert said(one) == [("user", ("What?",)), ("assistant", ("That.",))]


def test_the_first_so_many_rows_are_read(tmp_path: Path):
    write(tmp_path / "s.jsonl", [*records("s", 3), "none of these are looked at"])
    assert len(items(tmp_path, {"path": "s.jsonl", "limit": 3})) == 3


def test_the_hash_is_of_what_is_in_the_items(tmp_path: Path):
    told = recipe(tmp_path, tmp_path, [{"name": "s", "modality": "en", "path": "s.jsonl"}], strategy="dataset")
    rows = records("s", 2)
    write(tmp_path / "s.jsonl", rows)
    plain = read(told)[0].sha256
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row, indent=None) + "\n\n" for row in rows), encoding="utf-8")
    assert read(told)[0].sha256 == plain
    rows[1]["messages"][1]["content"] = "It is another."
    write(tmp_path / "s.jsonl", rows)
    assert read(told)[0].sha256 != plain


def test_pictures_are_read_from_the_files_folder(tmp_path: Path):
    content = png(tmp_path / "data" / "art" / "a.png")
    asked = {"role": "user", "content": [{"type": "image", "path": "art/a.png"}, {"type": "text", "text": "What?"}]}
    write(tmp_path / "data" / "s.jsonl", [{"id": "x", "messages": [asked, REPLY]}])
    (one,) = items(tmp_path, {"path": "data/s.jsonl"})
    (picture,) = one.pictures
    assert picture.content() == content
    assert picture.seen() == Seen(content, ".png")


def test_a_column_of_pictures_comes_before_the_text(tmp_path: Path):
    png(tmp_path / "a.png")
    png(tmp_path / "b.png")
    source = {"path": "s.jsonl", "prompt": "q", "answer": "a", "images": "art"}
    rows = [{"q": "What?", "a": "That.", "art": art} for art in ("a.png", ["a.png", "b.png"], None)]
    write(tmp_path / "s.jsonl", rows)
    contents = [one.messages[0].content for one in items(tmp_path, source)]
    assert [[part.name if isinstance(part, Image) else part for part in content] for content in contents] == [
        ["a.png", "What?"],
        ["a.png", "b.png", "What?"],
        ["What?"],
    ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (["x"], "s.jsonl:2: is no object"),
        ({"id": "", "messages": [USER, REPLY]}, "s.jsonl:2: id has to be"),
        ({"id": 3, "messages": [USER, REPLY]}, "s.jsonl:2: id has to be"),
        ({"id": "x", "messages": []}, "s.jsonl:2: messages has to be"),
        ({"id": "x", "messages": "hello"}, "s.jsonl:2: messages has to be"),
        ({"id": "x", "messages": [USER, REPLY], "topic": 1}, "s.jsonl:2: 'topic' is no field of an item"),
        ({"id": "x", "messages": [USER, REPLY], "meta": 1}, "s.jsonl:2: meta has to be an object"),
        ({"id": "x", "messages": [USER]}, "messages are user; user and assistant take turns"),
        ({"id": "x", "messages": [REPLY, USER]}, "take turns"),
        ({"id": "x", "messages": [USER, REPLY, {"role": "system", "content": "x"}, REPLY]}, "take turns"),
        ({"id": "x", "messages": [{"role": "human", "content": "x"}, REPLY]}, "messages[0]: role is 'human'"),
        ({"id": "x", "messages": [USER, {"role": "assistant", "content": " "}]}, "messages[1]: says nothing"),
        ({"id": "x", "messages": [USER, {"role": "assistant", "content": None}]}, "messages[1]: content has to be"),
        ({"id": "x", "messages": [USER, REPLY | {"name": "x"}]}, "messages[1]: has to be an object with role and"),
        (
            {"id": "x", "messages": [USER | {"content": [{"type": "audio"}]}, REPLY]},
            "messages[0].content[0]: is neither",
        ),
        ({"id": "s-0", "messages": [USER, REPLY]}, "id 's-0' is that of"),
    ],
)
def test_a_row_of_another_schema_is_refused_with_its_line(tmp_path: Path, row: Any, told: str):
    assert told in of_line(tmp_path, row)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("none.png", "is not there"),
        ("../out.png", "lies outside of"),
        ("/etc/hostname", "lies outside of"),
        ("iVBORw0KGgo" * 500, "... is no path (File name too long)"),
        ("a\0.png", "is no path (embedded null byte)"),
    ],
)
def test_a_picture_that_is_missing_or_outside_is_refused_with_its_line(tmp_path: Path, path: str, told: str):
    png(tmp_path / "out.png")
    (tmp_path / "data").mkdir()
    asked = {"role": "user", "content": [{"type": "image", "path": path}]}
    error = of_line(tmp_path / "data", {"id": "x", "messages": [asked, REPLY]})
    assert told in error
    assert "s.jsonl:2: messages[0].content[0]" in error


def test_a_link_does_not_lead_outside(tmp_path: Path):
    png(tmp_path / "out.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "in.png").symlink_to(tmp_path / "out.png")
    asked = {"role": "user", "content": [{"type": "image", "path": "in.png"}]}
    assert "lies outside of" in of_line(tmp_path / "data", {"id": "x", "messages": [asked, REPLY]})


def test_only_a_user_shows_pictures(tmp_path: Path):
    png(tmp_path / "a.png")
    reply = {"role": "assistant", "content": [{"type": "image", "path": "a.png"}]}
    assert "only a user's messages may" in of_line(tmp_path, {"id": "x", "messages": [USER, reply]})


def test_half_a_character_is_refused_with_its_line_wherever_it_stands(tmp_path: Path):
    half, row = "\ud83d", records("x", 1)[0]
    for broken in (
        row | {"messages": [USER, REPLY | {"content": f"Good {half}"}]},
        row | {"id": half},
        row | {"meta": {"topic": [half]}},
    ):
        (tmp_path / "s.jsonl").write_text(json.dumps(broken), encoding="utf-8")
        told = refusal(tmp_path, {"path": "s.jsonl"})
        assert r"s.jsonl:1: holds half of a character ('\ud83d')" in told


def test_the_mark_that_windows_begins_files_with_is_none_of_the_content(tmp_path: Path):
    (tmp_path / "s.jsonl").write_text(json.dumps(records("s", 1)[0]), encoding="utf-8-sig")
    assert [one.id for one in items(tmp_path, {"path": "s.jsonl"})] == ["s-0"]


@pytest.mark.parametrize("content", [b"no picture", b"cut"])
def test_a_damaged_picture_is_named_when_it_is_looked_at(content: bytes):
    if content == b"no picture":
        with pytest.raises(InvalidRequest, match="it is of another format, or no picture; give a PNG"):
            Image("a.jpg", lambda: content, "s.jsonl:4").seen()
    if content == b"cut":
        whole = BytesIO()
        Pictures.effect_noise((64, 64), 50).save(whole, "JPEG")
        content = whole.getvalue()[:600]
    with pytest.raises(InvalidRequest, match=r"s\.jsonl:4: picture a\.jpg cannot be read"):
        Image("a.jpg", lambda: content, "s.jsonl:4").seen()


def test_a_picture_that_has_gone_is_named(tmp_path: Path):
    with pytest.raises(InvalidRequest, match=r"s\.jsonl:4: picture gone\.png cannot be read: No such file"):
        Image("gone.png", (tmp_path / "gone.png").read_bytes, "s.jsonl:4").content()


def test_files_that_are_missing_empty_or_no_json_are_refused(tmp_path: Path):
    assert "data.sources[0].path: " in refusal(tmp_path, {"path": "none.jsonl"})
    write(tmp_path / "s.jsonl", [])
    assert "source 's' holds no item" in refusal(tmp_path, {"path": "s.jsonl"})
    (tmp_path / "s.jsonl").write_text('{"id": \n', encoding="utf-8")
    assert "s.jsonl:1: is no JSON" in refusal(tmp_path, {"path": "s.jsonl"})
    (tmp_path / "s.jsonl").write_text("[" * 100_000, encoding="utf-8")
    assert "s.jsonl:1: is no JSON (maximum recursion depth" in refusal(tmp_path, {"path": "s.jsonl"})
    (tmp_path / "s.jsonl").write_bytes(json.dumps(records("s", 1)[0]).encode() + b"\n\xff\n")
    assert "is not UTF-8" in refusal(tmp_path, {"path": "s.jsonl"})


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path):
    write(tmp_path / "s.jsonl", [{"q": "What?", "reply": "That."}])
    error = refusal(tmp_path, {"path": "s.jsonl", "prompt": "q", "answer": "a"})
    assert "s.jsonl:1: has no column 'a', named by answer of source 's'; there are q, reply" in error
    write(tmp_path / "s.jsonl", [["What?", "That."]])
    assert "s.jsonl:1: is no object with columns" in refusal(tmp_path, {"path": "s.jsonl", "messages": "chat"})
    write(tmp_path / "s.jsonl", [{"q": "What?", "a": "That.", "art": "../out.png", "n": None}])
    source = {"path": "s.jsonl", "prompt": "q", "answer": "a"}
    assert "s.jsonl:1: picture ../out.png lies outside" in refusal(tmp_path, source | {"images": "art"})
    assert "s.jsonl:1: has nothing in column 'n', named by id" in refusal(tmp_path, source | {"id": "n"})


def test_generators_are_called_with_their_options(tmp_path: Path):
    def numbers(options):
        yield from records(f"s{options['language']}", 3)

    made = items(tmp_path, {"generator": "numbers", "options": {"language": "is"}}, numbers=numbers)
    assert [one.id for one in made] == ["sis-0", "sis-1", "sis-2"]


def test_a_generator_shows_pictures_by_their_full_path(tmp_path: Path):
    content = png(tmp_path / "a.png")

    def art(options):
        asked = {"role": "user", "content": [{"type": "image", "path": str(tmp_path / options["file"])}]}
        yield {"id": "x", "messages": [asked, REPLY]}

    (one,) = items(tmp_path, {"generator": "art", "options": {"file": "a.png"}}, art=art)
    assert one.pictures[0].content() == content
    error = refusal(tmp_path, {"generator": "art", "options": {"file": "b.png"}}, art=art)
    assert "generator art, item 1" in error
    assert "is not there" in error


def test_an_unknown_generator_and_what_one_refuses_are_named(tmp_path: Path):
    def picky(options):
        raise ValueError("there is no language 'xx'")

    def broken(options):
        yield {"id": "x", "messages": [{"role": "user", "content": "What?"}, REPLY]}
        raise ValueError("a mistake of its own")

    mistaken = recipe(tmp_path, tmp_path, [{"name": "s", "modality": "en", "generator": "broken"}], strategy="dataset")
    with pytest.raises(ValueError, match=r"^a mistake of its own$"):
        read(mistaken, {"broken": broken})
    assert "there is no generator 'other'; known: picky" in refusal(tmp_path, {"generator": "other"}, picky=picky)
    error = refusal(tmp_path, {"generator": "picky"}, picky=picky)
    assert "data.sources[0].options: generator 'picky' refuses them: there is no language 'xx'" in error


def test_our_generators_are_known_by_name_and_their_licence_too(tmp_path: Path):
    options = {"language": "es", "topics": 4, "size": "short"}
    source = {"name": "s", "modality": "es", "generator": "reading", "options": options}

    def ours(**changes: Any):
        return read(recipe(tmp_path, tmp_path, [source | changes], strategy="dataset"))

    (found,) = ours()
    assert len(found.items) == 4
    assert found.license == "Apache-2.0"
    assert found.items[0].messages[0].content[0] == "Here are some sources.\n\n"
    with pytest.raises(InvalidRequest, match=r"data\.sources\[0\]\.options: generator 'reading' refuses them"):
        ours(options={"language": "xx"})
