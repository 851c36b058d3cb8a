"""From a picture's bytes to its pixels: checked first, then decoded, put on white, brought to sRGB, and turned upright.

Pillow gets files that `container` has cut down, through the decoder of their own format: nothing is guessed, and none
of its readers of texts, Exif data and the like ever runs. `Image.open` is not used because it warns of large pictures
through Python's warnings, which threads share. No setting of Pillow is changed. Importing this loads Pillow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageCms
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from xmguard.errors import InvalidRequest
from xmguard.parts import ImagePart
from xmguard_image import jpeg, png, webp
from xmguard_image.container import Container, refuse, refuse_profile

MAX_KEPT = 4_000_000
"""Pixels up to which a picture keeps its size; a larger one is handed on at half its width and height.

Models scale pictures down further, and the pictures of one request are in memory together.
"""
_FOREIGN: Mapping[bytes, str] = {
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"%PDF-": "application/pdf",
    b"<svg": "image/svg+xml",
    b"<?xml": "XML",
    b"PK\x03\x04": "application/zip",
}
"""How files begin that people send by mistake."""
_BRANDS: Mapping[bytes, str] = {
    b"avif": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
}
"""The same, four bytes after `ftyp`."""
_ORIENTED: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Orientation of Exif to what makes it upright."""
_OPAQUE: Mapping[str, str] = {"LA": "L", "RGBA": "RGB"}
"""Mode with transparency to the one without."""
_PLAIN: Mapping[str, str] = {"1": "L", "P": "RGB"}
"""Mode to the one with a byte a channel."""
_PROFILED: Mapping[bytes, str] = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK"}
"""Colour space that a profile names (ICC.1, section 7.2.6) to the mode it describes."""


class _StillWebP(WebPImageFile):
    """Frees the decoder's two canvases before the pixels are copied: 8 bytes a pixel that no still picture needs."""

    def load_prepare(self) -> None:
        self._decoder = None
        super().load_prepare()


@dataclass(frozen=True)
class _Format:
    begins: Callable[[bytes], bool]
    read: Callable[[bytes], Container]
    open: Callable[[BytesIO], ImageFile]


FORMATS: Mapping[str, _Format] = {
    "image/jpeg": _Format(lambda data: data.startswith(jpeg.MAGIC), jpeg.read, JpegImageFile),
    "image/png": _Format(lambda data: data.startswith(png.MAGIC), png.read, PngImageFile),
    "image/webp": _Format(webp.is_webp, webp.read, _StillWebP),
}
"""Media type to how it is read: what is not here is not decoded."""


def decode(media_type: str, data: bytes) -> ImagePart:
    """The picture of a file; `media_type` is one of `FORMATS`.

    Raises:
        InvalidRequest: with field `media.media_type` if the bytes are something else, or `media.data`.
    """
    _check_type(media_type, data)
    kind = FORMATS[media_type]
    container = kind.read(data)
    picture = _opaque(_reduced(_plain(_loaded(kind, container)), container))
    picture = _turned(_in_srgb(picture, container), container.orientation)
    return ImagePart(picture.width, picture.height, picture.tobytes())


def _check_type(media_type: str, data: bytes) -> None:
    if FORMATS[media_type].begins(data):
        return
    if not data:
        refuse("is empty")
    actual = next((name for name, kind in FORMATS.items() if kind.begins(data)), "")
    if actual:
        raise InvalidRequest.field("media.media_type", f"says {media_type}, and the content is {actual}; say {actual}")
    actual = _BRANDS.get(data[8:12], "") if data[4:8] == b"ftyp" else ""
    actual = actual or next((name for begin, name in _FOREIGN.items() if data.startswith(begin)), "")
    if actual:
        wanted = f"says {media_type}, and the content is {actual}, which is not read; convert it to {media_type}"
        raise InvalidRequest.field("media.media_type", wanted)
    refuse(f"is no {media_type} file: it does not begin as one")


def _is_large(container: Container) -> bool:
    return container.width * container.height > MAX_KEPT


def _loaded(kind: _Format, container: Container) -> Image.Image:
    """The decoded pixels; a large JPEG file is decoded at half size, which takes a quarter of the memory."""
    try:
        picture = kind.open(BytesIO(container.core))
        if picture.size != (container.width, container.height):
            raise OSError("the decoder reads another size")
        if _is_large(container):
            picture.draft(None, (container.width // 2, container.height // 2))
        picture.load()
    except MemoryError:
        raise
    # Decoders of damaged files raise whatever their parsers run into: OSError, SyntaxError, struct.error, zlib.error...
    except Exception as error:
        raise InvalidRequest.field(
            "media.data", "is damaged: its pixels cannot be decoded; save it anew, or send all of it"
        ) from error
    return picture


def _plain(picture: Image.Image) -> Image.Image:
    """The picture with a byte a channel: mode L, LA, RGB, RGBA or CMYK."""
    if "transparency" in picture.info:
        return picture.convert("LA" if picture.mode in ("1", "L") else "RGBA")
    if picture.mode == "I;16":  # converting it would clip; little-endian, so the upper byte is the second
        return Image.frombytes("L", picture.size, picture.tobytes()[1::2])
    plain = _PLAIN.get(picture.mode)
    return picture.convert(plain) if plain else picture


def _reduced(picture: Image.Image, container: Container) -> Image.Image:
    """A large picture at half its width and height, rounded up; means of two by two pixels, weighed by opacity."""
    whole = picture.size == (container.width, container.height)
    return picture.reduce(2) if whole and _is_large(container) else picture


def _opaque(picture: Image.Image) -> Image.Image:
    """The picture on white."""
    opaque = _OPAQUE.get(picture.mode)
    if opaque is None:
        return picture
    behind = Image.new(opaque, picture.size, "white")
    behind.paste(picture.convert(opaque), mask=picture.getchannel("A"))
    return behind


def _in_srgb(picture: Image.Image, container: Container) -> Image.Image:
    """The picture in mode RGB, through its profile if it has one; without one it is taken for sRGB."""
    if not container.profile:
        return picture.convert("RGB")
    described = _PROFILED.get(container.profile[16:20], "")
    if described == "L" and container.channels == 1:
        picture = picture.convert("L")  # gray with transparency is decoded as colour where it has 16 bits
    elif described == "RGB" and picture.mode == "L":
        picture = picture.convert("RGB")
    if picture.mode != described:
        refuse_profile()
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(container.profile))
        converted = ImageCms.profileToProfile(picture, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        refuse_profile()
    assert converted is not None  # None is for conversions in place
    return converted


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    return picture.transpose(_ORIENTED[orientation]) if orientation in _ORIENTED else picture
