"""Picture files piece by piece: right ones, odd ones, and hostile ones. Knows not what must become of them."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from io import BytesIO

from PIL import Image, ImageCms

MAGIC = b"\x89PNG\r\n\x1a\n"
RED, GREEN, BLUE, YELLOW, WHITE, GRAY = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 0),
    (255, 255, 255),
    (128, 128, 128),
)
QUARTERS = (RED, GREEN, BLUE, YELLOW)
"""Colours of the test picture: top left, top right, bottom left, bottom right."""
WIDTH, HEIGHT = 96, 64
LARGE = 4000
"""Side of the largest square that is taken."""


def picture(width: int = WIDTH, height: int = HEIGHT, colours=QUARTERS) -> Image.Image:
    small = Image.new("RGB", (2, 2))
    small.putdata(colours)
    return small.resize((width, height), Image.Resampling.NEAREST)


def saved(image: Image.Image, kind: str, **settings: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


# -- PNG --------------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, row: bytes = b"", before: bytes = b"") -> bytes:
    """A PNG file whose rows are all the same; `before` are chunks between header and pixels."""
    rows = zlib.compress((b"\0" + row) * height, 1)
    return MAGIC + header(width, height, depth, colour) + before + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def png_with(*chunks: bytes) -> bytes:
    """The test picture with more chunks after its header."""
    data = saved(picture(), "PNG")
    end = len(MAGIC) + 25
    return data[:end] + b"".join(chunks) + data[end:]


@cache
def bomb() -> bytes:
    """64 MiB of zeros in 64 KiB."""
    return zlib.compress(bytes(64 * 2**20))


def palette_without_one() -> bytes:
    return MAGIC + header(64, 64, 8, 3) + chunk(b"IDAT", zlib.compress(bytes(65 * 64))) + chunk(b"IEND", b"")


def half_the_rows() -> bytes:
    rows = zlib.compress((b"\0" + bytes(RED) * 64) * 32)
    return MAGIC + header(64, 64) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def wrong_sum() -> bytes:
    data = bytearray(saved(picture(), "PNG"))
    data[data.index(b"IDAT") + 10] ^= 1
    return bytes(data)


def sixteen_bit_gray(before: bytes = b"") -> bytes:
    # The halves differ by one step of 256, and no value fits into a byte.
    return png(64, 64, depth=16, colour=0, row=b"\x40\x00" * 32 + b"\x41\xff" * 32, before=before)


def animated_png() -> bytes:
    frames = [picture(), picture(colours=QUARTERS[::-1])]
    return saved(frames[0], "PNG", save_all=True, append_images=frames[1:])


# -- JPEG -------------------------------------------------------------------------------------------------------------


def segment(code: int, content: bytes) -> bytes:
    return bytes((0xFF, code)) + struct.pack(">H", len(content) + 2) + content


def jpeg(**settings: object) -> bytes:
    return saved(picture(), "JPEG", quality=95, subsampling=0, **settings)


def jpeg_with(*segments: bytes) -> bytes:
    data = jpeg()
    return data[:2] + b"".join(segments) + data[2:]


def frame_changed(offset: int, new: bytes) -> bytes:
    """A JPEG file with other bytes in its frame header; offset 0 is the marker's code."""
    data = jpeg()
    start = data.index(b"\xff\xc0") + 1 + offset
    return data[:start] + new + data[start + len(new) :]


def many_scans(count: int) -> bytes:
    """A progressive picture of 4000 x 4000 that is gone through again and again for nothing."""
    data = saved(Image.new("L", (LARGE, LARGE)), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    scan = data[start:-2]
    return data[:-2] + scan * (count - data.count(b"\xff\xda")) + b"\xff\xd9"


def exif(turned: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = turned
    return tags.tobytes()


def tiff(entries: bytes) -> bytes:
    return b"II*\0\x08\0\0\0" + entries


# -- WebP -------------------------------------------------------------------------------------------------------------


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def vp8x(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"VP8X", bytes((flags, 0, 0, 0)) + size


def vp8l(width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8L", b"\x2f" + struct.pack("<I", width - 1 | (height - 1) << 14) + bytes(20)


def webp(**settings: object) -> bytes:
    return saved(picture(), "WEBP", **({"lossless": True} | settings))


def animated_webp() -> bytes:
    return saved(picture(), "WEBP", save_all=True, append_images=[picture(colours=QUARTERS[::-1])])


# -- colour profiles --------------------------------------------------------------------------------------------------


def swapped_profile() -> bytes:
    """sRGB with the primaries in another order: what is stored as red is green, green blue, and blue red."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    renamed = {b"gXYZ": b"rXYZ", b"bXYZ": b"gXYZ", b"rXYZ": b"bXYZ"}
    table = bytearray(srgb)
    for entry in range(struct.unpack_from(">I", srgb, 128)[0]):
        start = 132 + 12 * entry
        name = srgb[start : start + 4]
        table[start : start + 4] = renamed.get(name, name)
    return bytes(table)


SWAPPED = (GREEN, BLUE, RED, (0, 255, 255))


def icc_chunk(packed: bytes) -> bytes:
    return chunk(b"iCCP", b"profile\0\0" + packed)


def icc_segments(profile: bytes, parts: int, *, total: int = 0) -> list[bytes]:
    size = -(-len(profile) // parts)
    return [
        segment(0xE2, b"ICC_PROFILE\0" + bytes((k + 1, total or parts)) + profile[k * size : (k + 1) * size])
        for k in range(parts)
    ]


def named(space: bytes) -> bytes:
    """A profile that says it is of another colour space."""
    profile = bytearray(swapped_profile())
    profile[16:20] = space
    return bytes(profile)


def interlaced() -> bytes:
    """Seven passes of rows, as Adam7 has them, all of one colour."""
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    rows = b"".join(
        (b"\0" + bytes(RED) * len(range(column, 64, right))) * len(range(row, 64, down))
        for row, down, column, right in passes
    )
    first = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 1))
    return MAGIC + first + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def palette_with_transparency() -> bytes:
    image = picture().quantize(4)
    values = [image.getpixel((x, y)) for x, y in ((70, 10), (70, 50))]
    return saved(image, "PNG", transparency=bytes(0 if index in values else 255 for index in range(4)))


def transparent(mode: str) -> Image.Image:
    """The test picture, its right half without any colour left."""
    image = picture().convert("RGBA")
    image.paste((9, 9, 9, 0), (WIDTH // 2, 0, WIDTH, HEIGHT))
    return image.convert(mode)


def large(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (LARGE, LARGE), colour)
