"""Where items come from: JSONL files, data sets that `datasets` loads, generators of ours.

Reads and checks, and mixes nothing. A data set's own code never runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from xmguard.errors import InvalidRequest
from xmguard_research.mixing.items import Image, Item, item, picture_below
from xmguard_research.mixing.recipe import Recipe, Source

_OURS = "Apache-2.0"
"""Licence of what our generators write."""

Generators = Mapping[str, Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]]]
"""By name: from options to items as `items.item` reads them; a picture's path is absolute there.

ValueError, raised when it is called, refuses the options; later on it is a mistake in the generator."""


@dataclass(frozen=True)
class Read:
    """A source with everything it holds."""

    source: Source
    items: tuple[Item, ...]
    sha256: str
    """Of its items, pictures included, in order."""
    license: str | None
    """As the recipe or the data set says."""


def read(
    recipe: Recipe, generators: Generators | None = None, tell: Callable[[str], None] = lambda step: None
) -> list[Read]:
    """All sources of a recipe.

    Args:
        recipe: says which.
        generators: by name; None takes those of `xmguard_research.mixing.generators`.
        tell: told each step in words.

    Raises:
        XmguardError: a source is missing, empty or not what it has to be; the message names the place.
    """
    return [_read(source, index, recipe, generators, tell) for index, source in enumerate(recipe.data.sources)]


def _read(
    source: Source, index: int, recipe: Recipe, generators: Generators | None, tell: Callable[[str], None]
) -> Read:
    tell(f"reading {source.name}")
    field = f"data.sources[{index}]"
    license_ = source.license
    if source.path is not None:
        items = _file(source, recipe.folder / Path(source.path).expanduser(), f"{field}.path")
    elif source.generator is not None:
        items = _generated(source, field, generators)
        license_ = license_ or (_OURS if generators is None else None)
    else:
        from xmguard_research.mixing.hub import rows

        found = rows(source, recipe.folder, f"{field}.dataset")
        license_ = found.license
        items = (
            _mapped(row, source, f"{source.dataset}, row {number}", number, found.picture) for number, row in found.rows
        )
    seen: dict[str, str] = {}
    kept = []
    digest = sha256()
    for one in islice(items, source.limit):
        if one.id in seen:
            raise InvalidRequest.field(
                one.where, f"id {one.id!r} is that of {seen[one.id]}; ids differ within a source"
            )
        seen[one.id] = one.where
        try:
            digest.update(one.line())
        except UnicodeEncodeError as error:  # JSON can say half of a character: "\ud83d"
            half = error.object[error.start]
            raise InvalidRequest.field(one.where, f"holds half of a character ({half!a}); mend the text") from error
        kept.append(one)
    if not kept:
        raise InvalidRequest.field(field, f"source {source.name!r} holds no item; give one that does, or leave it out")
    return Read(source, tuple(kept), digest.hexdigest(), license_)


def _file(source: Source, file: Path, field: str) -> Iterator[Item]:
    picture = picture_below(file.parent)
    for number, text in _lines(file, field):
        where = f"{file}:{number}"
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest.field(where, f"is no JSON ({error}); every line is an object of its own") from error
        if source.prompt is None and source.messages is None:
            yield item(record, source=source.name, modality=source.modality, where=where, picture=picture)
        else:
            yield _mapped(record, source, where, number, lambda said: picture(str(said)))


def _lines(file: Path, field: str) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, and their numbers."""
    number = 1
    try:
        with file.open(encoding="utf-8-sig") as stream:  # Windows begins files with a mark
            for number, text in enumerate(stream, start=1):
                if text.strip():
                    yield number, text
    except UnicodeDecodeError as error:
        raise InvalidRequest.field(f"{file}:{number}", "is not UTF-8 from here on; convert the file") from error
    except OSError as error:
        raise InvalidRequest.field(
            field, f"{file} cannot be read: {error.strerror or error}; give a JSONL file"
        ) from error


def _generated(source: Source, field: str, generators: Generators | None) -> Iterator[Item]:
    from xmguard_research.mixing.generators import GENERATORS

    known = GENERATORS if generators is None else generators
    make = known.get(str(source.generator))
    if make is None:
        names = ", ".join(sorted(known)) or "none"
        raise InvalidRequest.field(f"{field}.generator", f"there is no generator {source.generator!r}; known: {names}")
    try:
        made = make(source.options)
    except ValueError as error:  # how generators refuse options
        raise InvalidRequest.field(
            f"{field}.options", f"generator {source.generator!r} refuses them: {error}"
        ) from error
    for number, record in enumerate(made, start=1):
        where = f"generator {source.generator}, item {number}"
        yield item(record, source=source.name, modality=source.modality, where=where, picture=_anywhere)


def _anywhere(path: str) -> Image:
    """A picture that a generator wrote."""
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"picture {path} is not there")
    return Image(path, file.read_bytes)


def _mapped(row: Any, source: Source, where: str, number: int, picture: Callable[[Any], Image]) -> Item:
    """A row whose columns the recipe names, as an item."""
    if not isinstance(row, Mapping):
        raise InvalidRequest.field(where, "is no object with columns")
    if lacking := source.lacking(row):
        raise InvalidRequest.field(where, lacking)
    if source.messages is not None:
        said = row[source.messages]
    else:
        said = [{"role": "user", "content": row[source.prompt]}, {"role": "assistant", "content": row[source.answer]}]
    if source.id is not None and row[source.id] in (None, ""):
        raise InvalidRequest.field(where, f"has nothing in column {source.id!r}, named by id of source {source.name!r}")
    name = f"{source.name}-{number}" if source.id is None else str(row[source.id])
    made = item(
        {"id": name, "messages": said}, source=source.name, modality=source.modality, where=where, picture=picture
    )
    if source.images is None:
        return made
    return made.beginning_with(_pictures(row[source.images], where, picture))


def _pictures(said: Any, where: str, picture: Callable[[Any], Image]) -> tuple[Image, ...]:
    several = said if isinstance(said, list) else [] if said is None else [said]
    try:
        return tuple(replace(picture(each), where=where) for each in several)
    except ValueError as error:
        raise InvalidRequest.field(where, str(error)) from error
