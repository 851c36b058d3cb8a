from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from xmguard.context import ContextSpan
from xmguard.errors import ErrorCode, InvalidRequest
from xmguard.parts import ImagePart
from xmguard.plugins import load_plugins
from xmguard.span import Media, Span
from xmguard.testing import ModalityContract

# The source folder, so that the tests also run where the plugin is not installed.
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).parent))
import picture_files
import xmguard_image
from image_corpus import CASES, JPEG, PNG, TOLERANCE, WEBP, Accepted, Case, Refused

HERE = Path(__file__).parent
MAX_BYTES, MAX_SECONDS = 256 * 2**20, 0.5


@cache
def made(name: str) -> bytes:
    return CASES[name].make()


def decode(media_type: str, data: bytes) -> ImagePart:
    span = ContextSpan(Span("s1", media=Media(media_type, data)), "image", "und")
    (part,) = xmguard_image.ImageModality().parts(span)
    return part


def quarters(part: ImagePart) -> list[tuple[int, ...]]:
    points = [(x, y) for y in (1, 3) for x in (1, 3)]
    starts = [3 * (part.height * y // 4 * part.width + part.width * x // 4) for x, y in points]
    return [tuple(part.rgb[start : start + 3]) for start in starts]


@pytest.mark.parametrize("name", CASES)
def test_each_file_of_the_corpus_becomes_what_it_must(name: str):
    case: Case = CASES[name]
    if isinstance(case.expected, Refused):
        with pytest.raises(InvalidRequest) as caught:
            decode(case.media_type, made(name))
        (violation,) = caught.value.violations
        assert violation.field == case.expected.field
        assert case.expected.words in violation.description
        assert violation.description.isprintable()
        assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    else:
        part = decode(case.media_type, made(name))
        assert (part.width, part.height) == (case.expected.width, case.expected.height)
        got = quarters(part)
        wrong = max(
            abs(a - b)
            for one, other in zip(got, case.expected.quarters, strict=True)
            for a, b in zip(one, other, strict=True)
        )
        assert wrong <= TOLERANCE, got


def test_no_file_of_the_corpus_costs_much(tmp_path: Path):
    if sys.platform != "linux":
        pytest.skip("peaks are measured in forked processes, and counted in KiB, on Linux")
    for number, (name, case) in enumerate(CASES.items()):
        (tmp_path / f"{number}.file").write_bytes(made(name))
        (tmp_path / f"{number}.type").write_text(case.media_type)
    done = subprocess.run(
        [sys.executable, str(HERE / "measure_corpus.py"), str(tmp_path)], capture_output=True, text=True, check=True
    )
    costs = {name: json.loads(done.stdout)[str(number)] for number, name in enumerate(CASES)}
    assert {name: cost for name, cost in costs.items() if cost["bytes"] > MAX_BYTES} == {}
    assert {name: cost for name, cost in costs.items() if cost["seconds"] > MAX_SECONDS} == {}
    assert costs["png of 16 megapixels"]["bytes"] > 2**25, "nothing was measured"


def sample(name: str) -> Span:
    return Span(media=Media(CASES[name].media_type, made(name)))


class TestImage(ModalityContract):
    modality = xmguard_image.ImageModality()
    accepted = [sample(name) for name in ("png with transparency", "jpeg with orientation 6", "webp with a profile")]
    refused = [sample(name) for name in ("png cut off", "jpeg labelled png", "31 pixels", "animated webp", "empty")]


SMALL = [
    name
    for name, case in CASES.items()
    if isinstance(case.expected, Accepted) and case.expected.width <= 96 and "bomb" not in name and "fill" not in name
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SMALL), st.data())
def test_whatever_is_done_to_a_file_it_is_decoded_or_refused(name: str, data: st.DataObject):
    media_type, whole = CASES[name].media_type, made(name)
    places = st.integers(0, min(len(whole) - 1, 2000))
    damaged = bytearray(whole[: data.draw(st.one_of(st.just(len(whole)), places))])
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(places)
        damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    with suppress(InvalidRequest):  # anything else, a warning too, fails the test
        assert decode(media_type, bytes(damaged)).rgb


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([PNG, JPEG, WEBP]), st.binary(max_size=300), st.integers(0, 30))
def test_noise_behind_the_first_bytes_of_a_file_is_refused(media_type: str, noise: bytes, kept: int):
    name = {PNG: "png", JPEG: "jpeg", WEBP: "webp lossless"}[media_type]
    with pytest.raises(InvalidRequest):
        decode(media_type, made(name)[:kept] + noise)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_size_is_judged_before_anything_is_decoded(width: int, height: int):
    with pytest.raises(InvalidRequest):  # there is no data, so even a fine size is refused
        decode(PNG, picture_files.MAGIC + picture_files.header(width, height))


def test_text_is_refused_with_its_field():
    with pytest.raises(InvalidRequest) as caught:
        xmguard_image.ImageModality().parts(ContextSpan(Span("s1", text="a photo"), "image", "und"))
    assert [violation.field for violation in caught.value.violations] == ["media"]


def test_another_media_type_is_refused_with_those_that_are_taken():
    with pytest.raises(InvalidRequest, match=r"^media\.media_type: .*taken: image/jpeg, image/png, image/webp"):
        decode("image/gif", made("gif"))


def test_a_setting_of_pillow_that_another_library_made_is_not_touched_and_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)  # Image.open would warn, and a warning is an error here
    assert decode(PNG, made("png")).width == 96
    assert Image.MAX_IMAGE_PIXELS == 5000


def test_importing_the_plugin_loads_no_image_library():
    program = "import sys, xmguard_image; print('PIL' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_registry_finds_the_modality_and_its_owner(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XMGUARD_PLUGINS", "")  # registered here by hand, also where it is installed
    registry = load_plugins(extra={"image": xmguard_image})
    assert registry.modalities.owners["image"] == "image"
