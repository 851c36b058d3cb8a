"""Odd and hostile picture files, made when asked for, and what must become of each. No file of it is kept."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from picture_files import (
    BLUE,
    GRAY,
    GREEN,
    HEIGHT,
    LARGE,
    MAGIC,
    QUARTERS,
    RED,
    SWAPPED,
    WHITE,
    WIDTH,
    YELLOW,
    animated_png,
    animated_webp,
    bomb,
    chunk,
    exif,
    frame_changed,
    half_the_rows,
    header,
    icc_chunk,
    icc_segments,
    interlaced,
    jpeg,
    jpeg_with,
    large,
    many_scans,
    named,
    palette_with_transparency,
    palette_without_one,
    picture,
    png,
    png_with,
    riff,
    saved,
    segment,
    sixteen_bit_gray,
    swapped_profile,
    tiff,
    transparent,
    vp8l,
    vp8x,
    webp,
    wrong_sum,
)
from PIL import Image

JPEG, PNG, WEBP = "image/jpeg", "image/png", "image/webp"
TOLERANCE = 12
"""Steps of 256 that lossy formats may differ by."""


@dataclass(frozen=True)
class Accepted:
    """Size of the picture that comes out, and its colours in the middle of the four quarters."""

    width: int = WIDTH
    height: int = HEIGHT
    quarters: tuple[tuple[int, int, int], ...] = QUARTERS


@dataclass(frozen=True)
class Refused:
    """Field and part of the description."""

    field: str
    words: str


@dataclass(frozen=True)
class Case:
    media_type: str
    make: Callable[[], bytes]
    expected: Accepted | Refused


def same(colour: tuple[int, int, int]) -> tuple[tuple[int, int, int], ...]:
    return (colour,) * 4


HALF = Accepted(LARGE // 2, LARGE // 2, same(RED))
TURNED = {
    1: (RED, GREEN, BLUE, YELLOW),
    2: (GREEN, RED, YELLOW, BLUE),
    3: (YELLOW, BLUE, GREEN, RED),
    4: (BLUE, YELLOW, RED, GREEN),
    5: (RED, BLUE, GREEN, YELLOW),
    6: (BLUE, RED, YELLOW, GREEN),
    7: (YELLOW, GREEN, BLUE, RED),
    8: (GREEN, YELLOW, RED, BLUE),
}
"""Orientation of Exif to the quarters once it is applied."""
GRAYS = tuple((v, v, v) for v in (76, 150, 29, 226))
LEFT = (RED, WHITE, BLUE, WHITE)
DATA, TYPE = "media.data", "media.media_type"
DAMAGED = Refused(DATA, "cannot be decoded")
PROFILE = Refused(DATA, "colour profile that is damaged or does not fit")

CASES: dict[str, Case] = {
    # Ordinary ones, and every kind of pixel.
    "png": Case(PNG, lambda: saved(picture(), "PNG"), Accepted()),
    "png interlaced": Case(PNG, interlaced, Accepted(64, 64, same(RED))),
    "png palette": Case(PNG, lambda: saved(picture().quantize(4), "PNG"), Accepted()),
    "png palette with transparency": Case(PNG, palette_with_transparency, Accepted(quarters=LEFT)),
    "png of 1 bit": Case(
        PNG,
        lambda: saved(picture(colours=(WHITE, (0,) * 3) * 2).convert("1"), "PNG"),
        Accepted(quarters=(WHITE, (0, 0, 0), WHITE, (0, 0, 0))),
    ),
    "png gray": Case(PNG, lambda: saved(picture().convert("L"), "PNG"), Accepted(quarters=GRAYS)),
    "png gray of 2 bits": Case(
        PNG, lambda: png(64, 64, depth=2, colour=0, row=b"\xaa" * 16), Accepted(64, 64, same((170, 170, 170)))
    ),
    "png gray with transparency": Case(
        PNG, lambda: saved(transparent("LA"), "PNG"), Accepted(quarters=(GRAYS[0], WHITE, GRAYS[2], WHITE))
    ),
    "png with transparency": Case(PNG, lambda: saved(transparent("RGBA"), "PNG"), Accepted(quarters=LEFT)),
    "png half transparent": Case(
        PNG, lambda: saved(Image.new("RGBA", (64, 64), (0, 0, 0, 127)), "PNG"), Accepted(64, 64, same(GRAY))
    ),
    "png with a transparent colour": Case(
        PNG, lambda: saved(picture(), "PNG", transparency=GREEN), Accepted(quarters=(RED, WHITE, BLUE, YELLOW))
    ),
    "png gray with a transparent value": Case(
        PNG,
        lambda: png(64, 64, colour=0, row=b"\x07" * 64, before=chunk(b"tRNS", b"\0\x07")),
        Accepted(64, 64, same(WHITE)),
    ),
    **{
        f"png gray of {depth} bits with a transparent value": Case(
            PNG,
            lambda depth=depth, row=row, value=value: png(
                64, 64, depth=depth, colour=0, row=row, before=chunk(b"tRNS", bytes((0, value)))
            ),
            Accepted(64, 64, ((left,) * 3, WHITE) * 2),
        )
        for depth, row, value, left in (
            (1, b"\xff" * 4 + bytes(4), 0, 255),
            (2, b"\xaa" * 8 + b"\x55" * 8, 1, 170),
            (4, b"\x22" * 16 + b"\x11" * 16, 1, 34),
        )
    },
    "png gray with a transparent value of one byte": Case(
        PNG,
        lambda: png(64, 64, colour=0, row=bytes(64), before=chunk(b"tRNS", b"\0")),
        Refused(DATA, "tRNS chunk has the wrong length"),
    ),
    "png gray of 16 bits": Case(PNG, sixteen_bit_gray, Accepted(64, 64, ((64,) * 3, (65,) * 3) * 2)),
    "png gray of 16 bits with transparency": Case(
        PNG, lambda: png(64, 64, depth=16, colour=4, row=b"\0\0\x7f\xff" * 64), Accepted(64, 64, same(GRAY))
    ),
    "png of 16 bits": Case(
        PNG, lambda: png(64, 64, depth=16, row=b"\xff\xff\x80\x01\0\0" * 64), Accepted(64, 64, same((255, 128, 0)))
    ),
    "png of 16 bits with transparency": Case(
        PNG, lambda: png(64, 64, depth=16, colour=6, row=b"\0" * 512), Accepted(64, 64, same(WHITE))
    ),
    "png of 16 bits with a transparent colour": Case(
        PNG, lambda: sixteen_bit_gray(chunk(b"tRNS", b"\x40\0")), Refused(DATA, "transparent colour of 16 bits")
    ),
    "jpeg": Case(JPEG, jpeg, Accepted()),
    "jpeg progressive": Case(JPEG, lambda: jpeg(progressive=True), Accepted()),
    "jpeg gray": Case(JPEG, lambda: saved(picture().convert("L"), "JPEG"), Accepted(quarters=GRAYS)),
    "jpeg cmyk": Case(JPEG, lambda: saved(picture().convert("CMYK"), "JPEG", quality=95), Accepted()),
    "webp lossless": Case(WEBP, webp, Accepted()),
    "webp lossy": Case(WEBP, lambda: webp(lossless=False, quality=95), Accepted()),
    "webp lossless with transparency": Case(
        WEBP, lambda: saved(transparent("RGBA"), "WEBP", lossless=True), Accepted(quarters=LEFT)
    ),
    "webp lossy with transparency": Case(
        WEBP, lambda: saved(transparent("RGBA"), "WEBP", quality=95), Accepted(quarters=LEFT)
    ),
    # Orientation.
    **{
        f"jpeg with orientation {turned}": Case(
            JPEG,
            lambda turned=turned: jpeg(exif=exif(turned)),
            Accepted(*((WIDTH, HEIGHT) if turned < 5 else (HEIGHT, WIDTH)), quarters),
        )
        for turned, quarters in TURNED.items()
    },
    "png with orientation": Case(
        PNG, lambda: saved(picture(), "PNG", exif=exif(6)), Accepted(HEIGHT, WIDTH, TURNED[6])
    ),
    "webp with orientation": Case(WEBP, lambda: webp(exif=exif(8)), Accepted(HEIGHT, WIDTH, TURNED[8])),
    "orientation 9": Case(JPEG, lambda: jpeg(exif=exif(9)), Accepted()),
    "exif that points past its end": Case(
        JPEG, lambda: jpeg_with(segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff")), Accepted()
    ),
    "exif of endless entries": Case(
        JPEG, lambda: jpeg_with(segment(0xE1, b"Exif\0\0" + tiff(b"\xff\xff" + bytes(60_000)))), Accepted()
    ),
    "exif of noise": Case(
        JPEG, lambda: jpeg_with(segment(0xE1, b"Exif\0\0II*\0" + bytes(range(256)) * 200)), Accepted()
    ),
    # Profiles.
    "png with a profile": Case(
        PNG, lambda: saved(picture(), "PNG", icc_profile=swapped_profile()), Accepted(quarters=SWAPPED)
    ),
    "jpeg with a profile in two parts": Case(
        JPEG, lambda: jpeg_with(*icc_segments(swapped_profile(), 2)[::-1]), Accepted(quarters=SWAPPED)
    ),
    "webp with a profile": Case(WEBP, lambda: webp(icc_profile=swapped_profile()), Accepted(quarters=SWAPPED)),
    "profile and transparency": Case(
        PNG,
        lambda: saved(transparent("RGBA"), "PNG", icc_profile=swapped_profile()),
        Accepted(quarters=(GREEN, WHITE, RED, WHITE)),
    ),
    "gray with a profile of colour": Case(
        PNG, lambda: saved(picture().convert("L"), "PNG", icc_profile=swapped_profile()), Accepted(quarters=GRAYS)
    ),
    "profile cut off": Case(PNG, lambda: png_with(icc_chunk(zlib.compress(swapped_profile()[:200]))), PROFILE),
    "profile of noise": Case(PNG, lambda: png_with(icc_chunk(zlib.compress(bytes(range(256))))), PROFILE),
    "profile whose stream is cut off": Case(
        PNG, lambda: png_with(icc_chunk(zlib.compress(swapped_profile())[:-5])), PROFILE
    ),
    "profile without a stream": Case(PNG, lambda: png_with(icc_chunk(b"")), PROFILE),
    "profile of a stream of nothing": Case(PNG, lambda: png_with(icc_chunk(zlib.compress(b""))), PROFILE),
    "profile without a name's end": Case(PNG, lambda: png_with(chunk(b"iCCP", b"profile")), PROFILE),
    "profile chunk of nothing": Case(PNG, lambda: png_with(chunk(b"iCCP", b"")), PROFILE),
    "webp profile of nothing": Case(
        WEBP, lambda: riff(vp8x(WIDTH, HEIGHT, 0x20), (b"ICCP", b""), (b"VP8L", webp()[20:])), PROFILE
    ),
    "jpeg profile of nothing": Case(JPEG, lambda: jpeg_with(*icc_segments(b"", 1)), PROFILE),
    "jpeg profile without numbers": Case(JPEG, lambda: jpeg_with(segment(0xE2, b"ICC_PROFILE\0")), PROFILE),
    "profile that is not compressed": Case(PNG, lambda: png_with(icc_chunk(b"not zlib")), PROFILE),
    "profile of another colour space": Case(JPEG, lambda: jpeg_with(*icc_segments(named(b"CMYK"), 1)), PROFILE),
    "gray profile on colour": Case(WEBP, lambda: webp(icc_profile=named(b"GRAY")), PROFILE),
    "profile with a part missing": Case(JPEG, lambda: jpeg_with(*icc_segments(swapped_profile(), 2, total=3)), PROFILE),
    "profile bomb": Case(PNG, lambda: png_with(icc_chunk(bomb())), Refused(DATA, "profile of more than 4,194,304")),
    # What is not pixels is not looked at.
    "text bomb": Case(PNG, lambda: png_with(*[chunk(b"zTXt", b"k%d\0\0" % k + bomb()) for k in range(8)]), Accepted()),
    "international text bomb": Case(PNG, lambda: png_with(chunk(b"iTXt", b"k\0\1\0\0\0" + bomb())), Accepted()),
    "five megabytes of text": Case(PNG, lambda: png_with(chunk(b"tEXt", b"k\0" + b"x" * 5 * 2**20)), Accepted()),
    "ancillary chunk with a wrong checksum": Case(
        PNG, lambda: png_with(chunk(b"tEXt", b"k\0v")[:-1] + b"?"), Accepted()
    ),
    "comments and thumbnails": Case(
        JPEG, lambda: jpeg_with(*[segment(code, bytes(65_000)) for code in (0xFE, 0xED, 0xE1, 0xE5) * 20]), Accepted()
    ),
    "png with a zip file behind": Case(PNG, lambda: saved(picture(), "PNG") + b"PK\x03\x04" + bytes(1000), Accepted()),
    "jpeg with a page behind": Case(JPEG, lambda: jpeg() + b"<html><script>alert(1)</script>", Accepted()),
    "jpeg with a gain map behind": Case(
        JPEG, lambda: jpeg_with(segment(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff")) + jpeg(), Accepted()
    ),
    "webp with bytes behind": Case(WEBP, lambda: webp() + b"%PDF-1.7", Accepted()),
    # The largest that are taken, which come out at half their size, and the smallest.
    "png of 16 megapixels": Case(PNG, lambda: saved(large("RGB", RED), "PNG"), HALF),
    "png of 16 megapixels with transparency": Case(PNG, lambda: saved(large("RGBA", (*RED, 255)), "PNG"), HALF),
    "png of 16 megapixels with 64 bits each": Case(
        PNG, lambda: png(LARGE, LARGE, depth=16, colour=6, row=(b"\xff\xff" + bytes(4) + b"\xff\xff") * LARGE), HALF
    ),
    "png of 16 megapixels with a profile": Case(
        PNG, lambda: saved(large("RGB", BLUE), "PNG", icc_profile=swapped_profile()), HALF
    ),
    "jpeg of 16 megapixels": Case(JPEG, lambda: saved(large("RGB", RED), "JPEG"), HALF),
    "jpeg of 16 megapixels, progressive and turned": Case(
        JPEG, lambda: saved(large("RGB", RED), "JPEG", progressive=True, subsampling=0, exif=exif(6)), HALF
    ),
    "jpeg of 16 megapixels, cmyk": Case(
        JPEG, lambda: saved(large("CMYK", (0, 255, 255, 0)), "JPEG", progressive=True), HALF
    ),
    "webp of 16 megapixels": Case(WEBP, lambda: saved(large("RGB", RED), "WEBP", method=0), HALF),
    "webp of 16 megapixels, lossless": Case(
        WEBP,
        lambda: saved(large("RGBA", (*RED, 128)), "WEBP", lossless=True, method=0, exact=True),
        Accepted(2000, 2000, same((255, 127, 127))),
    ),
    "odd sides, large": Case(
        JPEG, lambda: saved(Image.new("RGB", (2001, 2003), RED), "JPEG"), Accepted(1001, 1002, same(RED))
    ),
    "smallest": Case(PNG, lambda: saved(picture(32, 32), "PNG"), Accepted(32, 32)),
    "longest": Case(PNG, lambda: saved(picture(32, 640), "PNG"), Accepted(32, 640)),
    # Sizes.
    "one pixel": Case(PNG, lambda: saved(picture(1, 1), "PNG"), Refused(DATA, "is 1 x 1 pixels; at least 32 x 32")),
    "31 pixels": Case(WEBP, lambda: saved(picture(64, 31), "WEBP"), Refused(DATA, "is 64 x 31 pixels")),
    "too long": Case(JPEG, lambda: saved(picture(641, 32), "JPEG"), Refused(DATA, "at most 20 times the other")),
    "a row too many": Case(
        PNG,
        lambda: png(LARGE, LARGE + 1, depth=1, colour=0, row=bytes(500)),
        Refused(DATA, "16,004,000 in all; at most 16,000,000"),
    ),
    "png bomb": Case(
        PNG,
        lambda: MAGIC + header(100_000, 100_000, 1, 0) + chunk(b"IDAT", bomb()),
        Refused(DATA, "at most 16,000,000"),
    ),
    "png of the largest size there is": Case(
        PNG, lambda: MAGIC + header(2**31 - 1, 2**31 - 1), Refused(DATA, "at most 16,000,000")
    ),
    "png without width": Case(PNG, lambda: MAGIC + header(0, 64), Refused(DATA, "is 0 x 64 pixels")),
    "jpeg bomb": Case(JPEG, lambda: frame_changed(4, b"\xff\xff\xff\xff"), Refused(DATA, "is 65535 x 65535")),
    "jpeg without height": Case(JPEG, lambda: frame_changed(4, b"\0\0"), Refused(DATA, "is 96 x 0")),
    "webp bomb": Case(WEBP, lambda: riff(vp8l(16384, 16384)), Refused(DATA, "is 16384 x 16384")),
    "webp canvas bomb": Case(
        WEBP, lambda: riff(vp8x(2**24, 2**24), (b"VP8L", webp()[20:])), Refused(DATA, "canvas and its picture differ")
    ),
    # Animations.
    "animated png": Case(PNG, animated_png, Refused(DATA, "animation of 2 pictures")),
    "animated webp": Case(WEBP, animated_webp, Refused(DATA, "animation")),
    "webp that only says it is animated": Case(
        WEBP, lambda: riff(vp8x(WIDTH, HEIGHT, 2), (b"VP8L", webp()[20:])), Refused(DATA, "animation")
    ),
    # Cut off or damaged.
    "empty": Case(PNG, lambda: b"", Refused(DATA, "is empty")),
    "png, magic number only": Case(PNG, lambda: MAGIC, Refused(DATA, "cut off")),
    "jpeg, magic number only": Case(JPEG, lambda: b"\xff\xd8\xff", Refused(DATA, "cut off")),
    "webp, magic number only": Case(WEBP, lambda: b"RIFF\xff\0\0\0WEBP", Refused(DATA, "cut off")),
    "png cut off": Case(PNG, lambda: saved(picture(), "PNG")[:-20], Refused(DATA, "cut off")),
    "png cut before its end": Case(PNG, lambda: saved(picture(), "PNG")[:-12], Refused(DATA, "cut off")),
    "jpeg cut off": Case(JPEG, lambda: jpeg()[:-200], Refused(DATA, "cut off")),
    "jpeg cut in its header": Case(JPEG, lambda: jpeg()[:100], Refused(DATA, "cut off")),
    "webp cut off": Case(WEBP, lambda: webp()[:-10], Refused(DATA, "cut off")),
    "png with a wrong checksum": Case(PNG, wrong_sum, Refused(DATA, "IDAT chunk does not match its checksum")),
    "png with half its rows": Case(PNG, half_the_rows, Accepted(64, 64, (RED, RED, (0, 0, 0), (0, 0, 0)))),
    "png of noise": Case(
        PNG, lambda: MAGIC + header(64, 64) + chunk(b"IDAT", b"noise" * 99) + chunk(b"IEND", b""), DAMAGED
    ),
    "png without pixels": Case(PNG, lambda: MAGIC + header(64, 64) + chunk(b"IEND", b""), Refused(DATA, "no pixels")),
    "png without a palette": Case(PNG, palette_without_one, Refused(DATA, "no palette")),
    "png that begins elsewhere": Case(
        PNG, lambda: MAGIC + chunk(b"IDAT", b"") + header(64, 64), Refused(DATA, "begins with one IHDR")
    ),
    "png with two headers": Case(PNG, lambda: png_with(header(4000, 4001)), Refused(DATA, "begins with one IHDR")),
    "png of colour type 5": Case(PNG, lambda: MAGIC + header(64, 64, 8, 5), Refused(DATA, "does not define")),
    "png with an unknown chunk": Case(PNG, lambda: png_with(chunk(b"EVIL", b"")), Refused(DATA, "may not be skipped")),
    "png of a million chunks": Case(
        PNG, lambda: png_with(chunk(b"IDAT", b"") * 600_000), Refused(DATA, "more than 10,000 pieces")
    ),
    "jpeg of many segments": Case(
        JPEG, lambda: jpeg_with(segment(0xFE, b"") * 2_000_000), Refused(DATA, "more than 10,000 pieces")
    ),
    "jpeg of fill bytes": Case(JPEG, lambda: jpeg()[:2] + b"\xff" * 8_000_000 + jpeg()[2:], Accepted()),
    "jpeg of as many scans as are taken": Case(JPEG, lambda: many_scans(24), Accepted(2000, 2000, same((0, 0, 0)))),
    "jpeg of endless scans": Case(JPEG, lambda: many_scans(2000), Refused(DATA, "scans, too many for its size")),
    "jpeg of two frames": Case(
        JPEG,
        lambda: frame_changed(-1, segment(0xC0, b"\x08\0\x40\0\x40\x01\1\x11\0") + jpeg()[jpeg().index(b"\xff\xc0") :]),
        Refused(DATA, "one frame"),
    ),
    "jpeg of 12 bits": Case(JPEG, lambda: frame_changed(3, b"\x0c"), Refused(DATA, "12 bits a channel")),
    "jpeg, arithmetic": Case(JPEG, lambda: frame_changed(0, b"\xc9"), Refused(DATA, "not read")),
    "jpeg, lossless": Case(JPEG, lambda: frame_changed(0, b"\xc3"), Refused(DATA, "not read")),
    "jpeg without tables": Case(JPEG, lambda: jpeg().replace(b"\xff\xdb", b"\xff\xfe"), DAMAGED),
    "jpeg within a jpeg": Case(JPEG, lambda: jpeg()[:2] + jpeg(), Refused(DATA, "another JPEG file begins")),
    "webp of noise": Case(WEBP, lambda: riff(vp8l(64, 64)), DAMAGED),
    "webp without a picture": Case(WEBP, lambda: riff(vp8x(64, 64)), Refused(DATA, "no pixels")),
    "webp with a wrong frame": Case(WEBP, lambda: riff((b"VP8 ", bytes(30))), Refused(DATA, "no valid header")),
    "webp with an endless chunk": Case(
        WEBP, lambda: b"RIFF\x0c\0\0\0WEBPVP8L\xff\xff\xff\xff", Refused(DATA, "longer than the file")
    ),
    # Something else.
    "jpeg labelled png": Case(
        PNG, jpeg, Refused(TYPE, "says image/png, and the content is image/jpeg; say image/jpeg")
    ),
    "png labelled jpeg": Case(JPEG, lambda: saved(picture(), "PNG"), Refused(TYPE, "the content is image/png")),
    "webp labelled png": Case(PNG, webp, Refused(TYPE, "the content is image/webp")),
    "gif": Case(
        PNG, lambda: saved(picture(), "GIF"), Refused(TYPE, "image/gif, which is not read; convert it to image/png")
    ),
    "bmp": Case(JPEG, lambda: saved(picture(), "BMP"), Refused(TYPE, "image/bmp")),
    "tiff": Case(JPEG, lambda: saved(picture(), "TIFF"), Refused(TYPE, "image/tiff")),
    "heic": Case(JPEG, lambda: b"\0\0\0\x18ftypheic" + bytes(99), Refused(TYPE, "image/heic")),
    "svg": Case(PNG, lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', Refused(TYPE, "image/svg+xml")),
    "pdf": Case(PNG, lambda: b"%PDF-1.7\n", Refused(TYPE, "application/pdf")),
    "text": Case(PNG, lambda: b"photo.png", Refused(DATA, "is no image/png file")),
    "bytes before the magic number": Case(
        PNG, lambda: b"\n" + saved(picture(), "PNG"), Refused(DATA, "does not begin as one")
    ),
}
