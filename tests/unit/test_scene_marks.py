"""Marks: where in a picture its words belong, held against the pixels that change when the words do."""

import re
from collections.abc import Iterator
from itertools import pairwise, takewhile

import pytest
from PIL import Image, ImageChops

from xmguard.errors import SetupIncomplete
from xmguard_research.scenes import KINDS, SPLITS, STYLES, Mark, Scene, pictures, scenes
from xmguard_research.scenes.canvas import UNITS, Anchor, Box, Canvas

MONO = "DejaVuSansMono-Bold"
OUTSIDE = 0.1
"""Share of its size by which a square reaches over its edges when it is turned by ten degrees, rounded up."""


class Stamps:
    """Every emoji is a full square of its own colour, so that its edges are known and no art is needed."""

    def emoji(self, emoji: str) -> Image.Image:
        red, green, blue = int(emoji.split("-")[0], 16).to_bytes(3, "big")
        return Image.new("RGBA", (60, 60), (red, green, blue, 255))


def drawn(scene: Scene) -> Canvas:
    canvas = Canvas(Stamps(), UNITS)
    scene.layout.draw(canvas, scene)
    return canvas


def some(count: int, *kinds: str) -> Iterator[Scene]:
    for split in SPLITS:
        yield from scenes(split=split, seed=9, count=count, kinds=kinds or KINDS)


def saying(canvas: Canvas, word: str) -> list[Mark]:
    return [mark for mark in canvas.marks if word in mark.words and not mark.spelled]


def centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def changed(one: Image.Image, other: Image.Image) -> Box:
    found = ImageChops.difference(one, other).getbbox()
    assert found is not None, "nothing changed"
    return found


def lettered(text: str, anchor: Anchor) -> Canvas:
    canvas = Canvas(Stamps(), UNITS)
    canvas.text(text, (112, 100), face=MONO, size=24, colour=(255, 255, 255), anchor=anchor)
    return canvas


def test_every_value_of_every_kind_is_said_somewhere():
    for scene in some(110):
        words = " ".join(word for mark in drawn(scene).marks if not mark.spelled for word in mark.words)
        for slot, value in scene.items:
            assert re.search(rf"(?<!\S){re.escape(value)}(?!\w)", words, re.IGNORECASE), (scene, slot)


def test_boxes_lie_within_the_picture_and_are_not_empty():
    for scene in some(110):
        for mark in drawn(scene).marks:
            left, top, right, bottom = mark.box
            assert 0 <= left < right <= UNITS, (scene, mark)
            assert 0 <= top < bottom <= UNITS, (scene, mark)


def test_what_leaves_the_picture_is_marked_only_where_it_is_in_it():
    canvas = Canvas(Stamps(), UNITS)
    canvas.shape("circle", (0, 220), 40, (255, 0, 0), says=("circle",))
    canvas.shape("circle", (300, 100), 40, (255, 0, 0), says=("circle",))
    assert [mark.box for mark in canvas.marks] == [(0, 200, 20, 224)]


def test_what_says_nothing_is_not_marked():
    canvas = Canvas(Stamps(), UNITS)
    canvas.shape("circle", (100, 100), 40, (255, 0, 0))
    canvas.emoji("1f436", (100, 100), 40)
    canvas.board((10, 10, 60, 60), (255, 0, 0))
    assert canvas.marks == []


def test_characters_spell_their_words_from_left_to_right_inside_them():
    for scene in some(24, "price", "sign", "document", "table", "paragraph"):
        marks = drawn(scene).marks
        words = [index for index, (mark, after) in enumerate(pairwise(marks)) if after.spelled and not mark.spelled]
        assert words
        for index in words:
            (word,), whole = marks[index].words, marks[index].box
            letters = list(takewhile(lambda mark: mark.spelled, marks[index + 1 :]))
            assert "".join(mark.words[0] for mark in letters) == word
            lefts = [mark.box[0] for mark in letters]
            assert lefts == sorted(set(lefts))
            assert (letters[0].box[0], letters[-1].box[2]) == (whole[0], whole[2])
            assert all((mark.box[1], mark.box[3]) == (whole[1], whole[3]) for mark in letters)


def test_the_tag_spells_its_price():
    for scene in some(20, "price"):
        letters = [mark.words[0] for mark in drawn(scene).marks if mark.spelled]
        assert "".join(letters) == scene.values["price"]


@pytest.mark.parametrize("anchor", ["lm", "mm", "rm"])
def test_another_letter_changes_pixels_inside_its_mark_alone(anchor: Anchor):
    for at in (0, 2, 4, 6):
        text = "AAA AAA"
        one, other = lettered(text, anchor), lettered(f"{text[:at]}W{text[at + 1 :]}", anchor)
        (mark,) = (mark for mark in other.marks if mark.words == ("W",))
        left, top, right, bottom = changed(one.image, other.image)
        assert mark.box[0] - 1 <= left <= right <= mark.box[2] + 1
        assert mark.box[1] <= top <= bottom <= mark.box[3]
        assert right - left > 0.7 * (mark.box[2] - mark.box[0])


@pytest.mark.parametrize("kind", ["activity", "price", "sign"])
def test_another_thing_changes_the_pixels_of_its_mark(kind: str):
    for scene in some(12, kind):
        value = scene.alternatives("thing")[0]
        before, after = drawn(scene), drawn(scene.with_fact("thing", value))
        (mark,) = saying(after, value)
        reach = OUTSIDE * max(mark.box[2] - mark.box[0], mark.box[3] - mark.box[1]) + 1
        assert changed(before.image, after.image) == pytest.approx(mark.box, abs=reach), (scene, mark)


def test_another_shape_changes_pixels_inside_the_marks_of_shapes():
    for scene in some(30, "objects"):
        if scene.layout.name == "objects.shapes" and scene.values["count"] == "1" and scene.alternatives("shape"):
            before, after = drawn(scene), drawn(scene.with_fact("shape", scene.alternatives("shape")[0]))
            (mark,) = after.marks
            left, top, right, bottom = changed(before.image, after.image)
            assert mark.box[0] - 1 <= left <= right <= mark.box[2] + 1
            assert mark.box[1] - 1 <= top <= bottom <= mark.box[3] + 1


def test_as_many_things_are_marked_as_are_counted():
    counted = 0
    for scene in some(60, "objects"):
        values, thing = scene.values, scene.values.get("thing") or scene.values.get("shape")
        if thing is not None:
            marks = saying(drawn(scene), thing)
            said = (thing, values["count"]) if "thing" in values else (thing, values["colour"], values["count"])
            assert [mark.words for mark in marks] == [said] * int(values["count"])
            assert len({mark.box for mark in marks}) == len(marks)
            counted += 1
    assert counted > 60


def test_two_things_are_marked_in_the_direction_that_is_said():
    towards = {"left": (0, -1), "right": (0, 1), "above": (1, -1), "below": (1, 1)}
    seen = set()
    for scene in some(60, "objects"):
        if scene.layout.name == "objects.pair":
            canvas = drawn(scene)
            (first,), (second,) = (saying(canvas, scene.values[name]) for name in ("first", "second"))
            for one, other in ((first, second), (second, first)):
                axis, sign = towards[one.words[1]]
                assert sign * (centre(one.box)[axis] - centre(other.box)[axis]) > 60
            assert first.words[1] == scene.values["relation"]
            seen.add(first.words[1])
    assert seen == set(towards)


def test_a_sky_is_marked_down_to_the_horizon_and_a_panel_all_over():
    for scene in some(8, "activity"):
        (mark,) = saying(drawn(scene), scene.values["sky"])
        assert mark.box[:3] == (0, 0, UNITS)
        assert 140 <= mark.box[3] <= 172
    for scene in some(8, "price"):
        (mark,) = saying(drawn(scene), scene.values["background"])
        assert mark.box == (0, 0, UNITS, UNITS)


@pytest.mark.parametrize("style", STYLES)
def test_a_picture_brings_its_marks_whatever_its_style(style: str):
    try:
        made = list(pictures(style=style, split="test", seed=9, count=14))
    except SetupIncomplete as missing:
        pytest.skip(str(missing))
    for picture in made:
        assert picture.marks == tuple(drawn(picture.scene).marks)
