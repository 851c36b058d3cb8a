"""Where the art comes from: two emoji sets as pinned files, and the typefaces that matplotlib brings.

Nothing of it is part of the project: `python -m xmguard_research.scenes fetch` puts the two files into the cache,
through the clients of the registries that publish them. Knows no scene.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Protocol

from PIL import Image, ImageDraw, ImageFont, features

from xmguard.errors import FieldViolation, InvalidRequest, SetupIncomplete
from xmguard.models.cache import cache_folder

FOLDER = "XMGUARD_SCENES"
"""Environment variable that names the folder of the two files; by default `scenes` in xmguard's cache."""
FETCH = "python -m xmguard_research.scenes fetch"
_NOTO_SIZE = 109
"""Pixels: the only size of the font's bitmaps."""


@dataclass(frozen=True)
class Source:
    """A file of art, as published."""

    file: str
    sha256: str
    package: str
    """Name and version in its registry."""
    client: tuple[str, ...]
    """Command that downloads the package into the current folder."""
    advice: str
    """What to do where the client is missing or fails."""


NOTO = Source(
    file="NotoColorEmoji.ttf",
    sha256="e5899ed38b8ed83e08bd3ac5de09791e9d19d288333a796de1d35ad17396f1ec",
    package="Debian fonts-noto-color-emoji 2.042-0+deb12u1",
    client=("apt-get", "download", "fonts-noto-color-emoji=2.042-0+deb12u1"),
    advice="install fonts-noto-color-emoji 2.042-0+deb12u1 (`apt-get update`, then `apt-get install`), "
    "or pass the file of that version with --noto",
)
FLUENT = Source(
    file="lobehub-fluent-emoji-3d-1.1.0.tgz",
    sha256="c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    package="npm @lobehub/fluent-emoji-3d 1.1.0",
    client=("npm", "pack", "--silent", "@lobehub/fluent-emoji-3d@1.1.0"),
    advice="run `npm pack @lobehub/fluent-emoji-3d@1.1.0` where npm is installed, and pass the file with --fluent",
)
_DEBIAN = Path("/usr/share/fonts/truetype/noto") / NOTO.file


class Art(Protocol):
    """An art style."""

    def emoji(self, emoji: str) -> Image.Image:
        """RGBA, cropped to what is visible; `emoji`: code points in hexadecimal, joined by hyphens."""
        ...


def folder() -> Path:
    """Where the art is kept."""
    named = os.environ.get(FOLDER)
    return Path(named) if named else cache_folder() / "scenes"


@lru_cache(maxsize=4)
def art(style: str) -> Art:
    """The art of a style, loaded once.

    Raises:
        InvalidRequest: there is no such style.
        SetupIncomplete: its file is missing or another than the pinned one, or Pillow cannot draw it.
    """
    if style not in _STYLES:
        raise InvalidRequest([FieldViolation("style", f"{style!r} is not one of {', '.join(_STYLES)}")])
    return _STYLES[style]()


@lru_cache(maxsize=16)
def typeface(face: str) -> str:
    """Path of a typeface of the DejaVu family.

    Raises:
        SetupIncomplete: matplotlib, which brings it, is not installed.
    """
    found = find_spec("matplotlib")
    if found is None or not found.submodule_search_locations:
        raise SetupIncomplete("scenes are lettered in matplotlib's typefaces: pip install 'xmguard[research]'")
    return str(Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf" / f"{face}.ttf")


class Noto:
    """Noto Color Emoji, bitmaps of a font."""

    def __init__(self) -> None:
        if not features.check("raqm"):
            raise SetupIncomplete(
                "Pillow cannot join the parts of an emoji here: it needs raqm, whose missing half is usually "
                "FriBiDi (Debian: apt-get install libfribidi0)"
            )
        self._font = ImageFont.truetype(BytesIO(_pinned(NOTO)), _NOTO_SIZE, layout_engine=ImageFont.Layout.RAQM)
        self._drawn: dict[str, Image.Image] = {}

    def emoji(self, emoji: str) -> Image.Image:
        """See `Art`."""
        if emoji not in self._drawn:
            text = "".join(chr(int(point, 16)) for point in emoji.split("-"))
            drawn = Image.new("RGBA", (320, 192))
            ImageDraw.Draw(drawn).text((16, 16), text, font=self._font, embedded_color=True)
            self._drawn[emoji] = _cropped(drawn)
        return self._drawn[emoji]


class Fluent:
    """Microsoft's Fluent emoji in 3D, pictures in a package."""

    def __init__(self) -> None:
        with tarfile.open(fileobj=BytesIO(_pinned(FLUENT)), mode="r:gz") as package:
            files = ((Path(member.name), package.extractfile(member)) for member in package)
            self._files = {path.stem: file.read() for path, file in files if file and path.suffix == ".webp"}
        self._drawn: dict[str, Image.Image] = {}

    def emoji(self, emoji: str) -> Image.Image:
        """See `Art`."""
        if emoji not in self._drawn:
            with Image.open(BytesIO(self._files[emoji])) as picture:
                self._drawn[emoji] = _cropped(picture.convert("RGBA"))
        return self._drawn[emoji]


def _cropped(picture: Image.Image) -> Image.Image:
    return picture.crop(picture.getchannel("A").getbbox())


_STYLES: dict[str, Callable[[], Art]] = {"noto": Noto, "fluent": Fluent}


def _pinned(source: Source) -> bytes:
    """The file's content, which is the pinned one."""
    path = folder() / source.file
    if not path.exists():
        raise SetupIncomplete(f"{path} is missing: run `{FETCH}`")
    content = path.read_bytes()
    if sha256(content).hexdigest() != source.sha256:
        raise SetupIncomplete(f"{path} is not the file of {source.package}: delete it and run `{FETCH}`")
    return content


def fetch(source: Source, given: Path | None = None) -> Path:
    """Put a source's file into the folder, from `given`, from this machine, or through its registry's client.

    Raises:
        SetupIncomplete: it cannot be had, or is another file than the pinned one.
    """
    target = folder() / source.file
    if target.exists() and _is(target, source):
        return target
    if given is not None:
        return _keep(given, source)
    if source is NOTO and _DEBIAN.exists() and _is(_DEBIAN, source):
        return _keep(_DEBIAN, source)
    with tempfile.TemporaryDirectory() as scratch:
        _run(source, source.client, scratch)
        for package in sorted(Path(scratch).glob("*.deb")):
            _run(source, ("dpkg-deb", "-x", package.name, "."), scratch)
        found = sorted(Path(scratch).rglob(source.file))
        if not found:
            raise SetupIncomplete(f"{source.package} does not contain {source.file}: {source.advice}")
        return _keep(found[0], source)


def _run(source: Source, command: Sequence[str], scratch: str) -> None:
    if shutil.which(command[0]) is None:
        raise SetupIncomplete(
            f"{command[0]} is not installed here, and {source.package} comes through it: {source.advice}"
        )
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise SetupIncomplete(f"`{' '.join(command)}` failed ({said[-1]}): {source.advice}")


def _keep(path: Path, source: Source) -> Path:
    if not path.is_file() or not _is(path, source):
        raise SetupIncomplete(f"{path} is not the file of {source.package} (SHA-256 {source.sha256}): {source.advice}")
    target = folder() / source.file
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    shutil.copyfile(path, partial)
    return partial.replace(target)


def _is(path: Path, source: Source) -> bool:
    return sha256(path.read_bytes()).hexdigest() == source.sha256
