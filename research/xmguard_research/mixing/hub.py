"""Rows of data sets, by the `datasets` package: of the hub, or of a folder of parquet, JSON or CSV files or pictures.

Knows which columns hold pictures, and nothing of what the others mean.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from yaml import YAMLError

from xmguard.errors import InvalidRequest
from xmguard_research.mixing.items import Image, picture_below
from xmguard_research.mixing.packages import needed
from xmguard_research.mixing.recipe import Source

_PAGE = "README.md"


@dataclass(frozen=True)
class Rows:
    """A split of a data set."""

    rows: Iterator[tuple[int, Mapping[str, Any]]]
    """Each with its number, from 0 as the hub's viewer counts."""
    license: str | None
    """As the recipe says, or the data set; None where neither does."""
    picture: Callable[[Any], Image]
    """What a column of pictures holds, as a picture; raises ValueError."""


def rows(source: Source, folder: Path, field: str) -> Rows:
    """Open a data set; with `streaming`, only what is read is fetched.

    Args:
        source: with its `dataset`.
        folder: of the recipe; a data set there is taken before one of the hub.
        field: of the recipe, for errors.

    Raises:
        InvalidRequest: it is not there, cannot be read, lacks a column, or would have to run code of its own; also
            later, of a row that cannot be read.
        SetupIncomplete: the package is missing.
    """
    name = str(source.dataset)
    local = folder / Path(name).expanduser()
    if local.is_dir():
        if source.revision is not None:
            raise InvalidRequest.field(field, f"{name} is a folder and has no revision; leave revision out")
        scripts = sorted(local.glob("*.py"))
        if scripts:
            raise InvalidRequest.field(
                field,
                f"{name} is a data set with code ({scripts[0].name}), which is not run; give its files as parquet",
            )
    elif Path(name).exists():  # the package would take it for the data set
        raise InvalidRequest.field(
            field, f"{name} is there where the command runs, and not beside the recipe; give its path from {folder}"
        )
    with needed():
        import datasets

    datasets.disable_progress_bars()  # whoever reads shows a bar of their own
    try:
        found = datasets.load_dataset(
            str(local) if local.is_dir() else name,
            source.config,
            split=source.split,
            revision=source.revision,
            streaming=source.streaming,
        )
    except Exception as error:  # of the hub's client, of file formats, of names: the package has no base class
        raise InvalidRequest.field(field, f"data set {name!r} cannot be read: {_said(error)}") from error
    if found.features is not None:  # of some streams they are known with the first row
        if lacking := source.lacking(found.features):
            raise InvalidRequest.field(field, f"data set {name!r} {lacking}")
        # Others are neither fetched nor decoded.
        found = found.select_columns(list(dict.fromkeys(source.columns.values())))
    found = _undecoded(found, source.images, datasets)
    inside = picture_below(local) if local.is_dir() else None

    def picture(said: Any) -> Image:
        if isinstance(said, Mapping) and said.get("bytes") is not None:
            content = bytes(said["bytes"])
            return Image(f"in column {source.images!r}", lambda: content)
        path = said.get("path") if isinstance(said, Mapping) else said
        if not isinstance(path, str):
            raise ValueError(f"column {source.images!r} holds no picture, but {type(said).__name__}")
        if inside is None:  # what strangers wrote does not choose among the files of this machine
            raise ValueError(
                f"column {source.images!r} holds the path of a picture; take a data set whose files hold the pictures "
                "themselves, such as its revision refs/convert/parquet"
            )
        # Of a folder of pictures the package writes whole paths.
        return inside(os.path.relpath(Path(path).resolve(), local.resolve()) if isinstance(said, Mapping) else path)

    said = source.license or found.info.license or _license(name, local, source.revision)
    return Rows(_numbered(found, source.limit, name, field), said, picture)


def _license(name: str, local: Path, revision: str | None) -> str | None:
    """As the data set's page has it; None where it has none that can be read."""
    import huggingface_hub

    try:
        page = local / _PAGE
        if not local.is_dir():
            page = Path(huggingface_hub.hf_hub_download(name, _PAGE, repo_type="dataset", revision=revision))
        said = getattr(huggingface_hub.DatasetCard(page.read_text(encoding="utf-8")).data, "license", None)
    except (OSError, ValueError, YAMLError):  # OSError is also the hub's: there is no page, or no hub
        return None
    return ", ".join(map(str, said)) if isinstance(said, list) else said


def _numbered(found: Any, limit: int | None, name: str, field: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    read = 0
    try:
        for number, row in enumerate(islice(found, limit)):
            yield number, {column: _plain(value) for column, value in row.items()}
            read += 1
    except Exception as error:  # as above: a stream is read, and a row decoded, when its turn comes
        raise InvalidRequest.field(
            field, f"data set {name!r} cannot be read beyond its first {read} rows: {_said(error)}"
        ) from error


def _said(error: Exception) -> str:
    from datasets.exceptions import DatasetGenerationError

    if isinstance(error, StopIteration):  # where the package looks for a first row to know the columns by
        return "its files hold no row"
    # Which says only that there was an error.
    told = error.__cause__ if isinstance(error, DatasetGenerationError) and error.__cause__ else error
    return " ".join(str(told).split())[:300] or type(told).__name__


def _undecoded(found: Any, column: str | None, datasets: Any) -> Any:
    """The same data set, with pictures as the bytes of their files."""
    if column is None or found.features is None or column not in found.features:
        return found
    feature = found.features[column]
    plain = datasets.Image(decode=False)
    if isinstance(feature, datasets.Image):
        return found.cast_column(column, plain)
    inner = getattr(feature, "feature", None)
    return found.cast_column(column, datasets.List(plain)) if isinstance(inner, datasets.Image) else found


def _plain(value: Any) -> Any:
    """Without the fields that Arrow fills with None because another row has them."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items() if each is not None}
    return [_plain(each) for each in value] if isinstance(value, list) else value
