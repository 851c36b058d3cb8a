"""Scenes as pictures: the series that trains and measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from xmguard.errors import FieldViolation, InvalidRequest
from xmguard_research.scenes import activity, documents, lettering, objects, paragraphs
from xmguard_research.scenes.assets import art
from xmguard_research.scenes.canvas import Canvas, Mark
from xmguard_research.scenes.spec import SPLITS, Layout, Question, Scene, sample

STYLES = ("noto", "fluent")
KINDS = ("activity", "objects", "price", "sign", "document", "table", "paragraph")
LAYOUTS: tuple[Layout, ...] = (
    *activity.LAYOUTS,
    *objects.LAYOUTS,
    *lettering.LAYOUTS,
    *documents.LAYOUTS,
    *paragraphs.LAYOUTS,
)


@dataclass(frozen=True)
class Picture:
    """A drawn scene with what can be asked and said about it."""

    id: str
    image: Image.Image
    """RGB, square."""
    questions: tuple[Question, ...]
    """Three to six."""
    sentences: tuple[str, ...]
    """Two statements of every fact."""
    kind: str
    """One of `KINDS`."""
    scene: Scene
    """What it was drawn from; `scene.facts` can be contradicted."""
    marks: tuple[Mark, ...]
    """Where in the picture its words belong, in the order of drawing; the same in every style."""


def scenes(*, split: str, seed: int, count: int, kinds: Sequence[str] = KINDS) -> Iterator[Scene]:
    """A series of scenes; kinds take turns, and within a kind its layouts do.

    Raises:
        InvalidRequest: there is no such split or kind.
    """
    _known("split", [split], SPLITS)
    _known("kinds", kinds, KINDS)
    by_kind = [
        [layout for layout in LAYOUTS if layout.kind == kind and split in layout.splits]
        for kind in dict.fromkeys(kinds)
    ]
    for index in range(count):
        turn, which = divmod(index, len(by_kind))
        layouts = by_kind[which]
        yield sample(layouts[turn % len(layouts)], split=split, seed=seed, index=index)


def draw(scene: Scene, *, style: str, size: int = 224) -> Image.Image:
    """The scene in an art style, `size` pixels wide and high: RGB, the same bytes at every call on one machine.

    Raises:
        InvalidRequest: there is no such style.
        SetupIncomplete: its art is not on this machine; the message names the command that fetches it.
    """
    return _drawn(scene, style, size).image


def pictures(
    *, style: str, split: str, seed: int, count: int, kinds: Sequence[str] = KINDS, size: int = 224
) -> Iterator[Picture]:
    """`scenes`, drawn. Both styles draw the same scenes.

    Raises:
        InvalidRequest: there is no such style, split or kind.
        SetupIncomplete: see `draw`.
    """
    for scene in scenes(split=split, seed=seed, count=count, kinds=kinds):
        canvas = _drawn(scene, style, size)
        yield Picture(
            id=f"{style}-{scene.id}",
            image=canvas.image,
            questions=scene.questions,
            sentences=scene.sentences,
            kind=scene.kind,
            scene=scene,
            marks=tuple(canvas.marks),
        )


def _drawn(scene: Scene, style: str, size: int) -> Canvas:
    canvas = Canvas(art(style), size)
    scene.layout.draw(canvas, scene)
    return canvas


def _known(field: str, given: Sequence[str], known: Sequence[str]) -> None:
    strange = [name for name in given if name not in known]
    if strange or not given:
        said = ", ".join(repr(name) for name in strange) or "nothing"
        raise InvalidRequest([FieldViolation(field, f"{said} is not one of {', '.join(known)}")])
