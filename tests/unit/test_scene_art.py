"""Drawing scenes: the same bytes again, in both styles, and a clear word where the art is missing."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

from xmguard.errors import InvalidRequest, SetupIncomplete
from xmguard_research.scenes import STYLES, assets, draw, pictures, scenes
from xmguard_research.scenes.concepts import ACTIVITIES, THINGS
from xmguard_research.scenes.sheet import sheet

EMOJI = sorted(
    {thing.emoji for thing in THINGS.values()} | {emoji for people in ACTIVITIES.values() for emoji in people}
)
DIGEST = """
from hashlib import sha256
from xmguard_research.scenes import pictures
drawn = pictures(style="{style}", split="test", seed=3, count=7)
print(sha256(b"".join(picture.image.tobytes() for picture in drawn)).hexdigest())
"""


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest) -> str:
    try:
        assets.art(request.param)
    except SetupIncomplete as missing:
        pytest.skip(str(missing))
    return str(request.param)


def a_source(content: bytes, **changes: object) -> assets.Source:
    values = {
        "file": "art.bin",
        "sha256": sha256(content).hexdigest(),
        "package": "registry art 1.0",
        "client": ("false",),
        "advice": "ask the librarian",
    }
    return assets.Source(**{**values, **changes})


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder without art."""
    folder = tmp_path / "scenes"
    monkeypatch.setenv(assets.FOLDER, str(folder))
    return folder


def test_pictures_are_the_same_bytes_in_another_process(style: str):
    drawn = pictures(style=style, split="test", seed=3, count=7)
    here = sha256(b"".join(picture.image.tobytes() for picture in drawn)).hexdigest()
    there = subprocess.run(
        [sys.executable, "-c", DIGEST.format(style=style)],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here


def test_every_emoji_is_one_picture(style: str):
    art = assets.art(style)
    for emoji in EMOJI:
        width, height = art.emoji(emoji).size
        assert 50 < max(width, height) <= 256, emoji
        assert width < 2 * height, f"{emoji} fell into its parts"


def test_a_picture_is_square_and_rgb_at_any_size(style: str):
    for size in (112, 224, 300):
        for picture in pictures(style=style, split="train", seed=0, count=7, size=size):
            assert (picture.image.size, picture.image.mode) == ((size, size), "RGB")


def test_a_fact_changes_only_part_of_the_picture(style: str):
    scene = next(scenes(split="train", seed=0, count=1, kinds=["activity"]))
    before, after = (
        draw(one, style=style) for one in (scene, scene.with_fact("thing", scene.alternatives("thing")[0]))
    )
    changed = sum(a != b for a, b in zip(_pixels(before), _pixels(after), strict=True))
    assert 0 < changed < 0.15 * 224 * 224


def test_every_fact_can_be_seen(style: str):
    for scene in scenes(split="train", seed=1, count=14):
        for fact in scene.facts:
            twin = scene.with_fact(fact.slot, scene.alternatives(fact.slot)[0])
            assert draw(twin, style=style).tobytes() != draw(scene, style=style).tobytes(), fact


def test_text_ends_before_the_edge_of_its_page(style: str):
    for picture in pictures(style=style, split="train", seed=4, count=100, kinds=["document", "paragraph"]):
        margin = picture.image.convert("L").crop((209, 12, 212, 212))
        assert min(margin.tobytes()) > 150, picture.id


def test_both_styles_draw_the_same_scenes_with_other_art():
    for each in STYLES:
        try:
            assets.art(each)
        except SetupIncomplete as missing:
            pytest.skip(str(missing))
    noto, fluent = (list(pictures(style=each, split="test", seed=0, count=7)) for each in STYLES)
    assert [picture.questions for picture in noto] == [picture.questions for picture in fluent]
    assert [
        picture.kind for picture in noto if picture.image.tobytes() != fluent[noto.index(picture)].image.tobytes()
    ] == [
        "activity",
        "objects",
        "price",
        "sign",
    ]


def test_a_sheet_holds_all_pictures(style: str):
    drawn = list(pictures(style=style, split="train", seed=0, count=5))
    whole = sheet(drawn, 3)
    assert whole.width > 3 * 224
    assert whole.height > 2 * 224


def test_an_unknown_style_is_refused():
    with pytest.raises(InvalidRequest, match="style: 'oil' is not one of noto, fluent"):
        draw(next(scenes(split="train", seed=0, count=1)), style="oil")


def test_missing_art_names_the_command_that_fetches_it(empty: Path):
    with pytest.raises(SetupIncomplete, match=r"missing: run `python -m xmguard_research.scenes fetch`"):
        assets.Fluent()


def test_another_file_than_the_pinned_one_is_not_drawn_from(empty: Path):
    empty.mkdir()
    (empty / assets.FLUENT.file).write_bytes(b"something else")
    with pytest.raises(SetupIncomplete, match=r"is not the file of npm @lobehub/fluent-emoji-3d 1\.1\.0: delete it"):
        assets.Fluent()


def test_a_given_file_is_kept_and_not_asked_for_again(empty: Path, tmp_path: Path):
    given = tmp_path / "downloaded"
    given.write_bytes(b"art")
    kept = assets.fetch(a_source(b"art"), given)
    assert (kept, kept.read_bytes()) == (empty / "art.bin", b"art")
    assert assets.fetch(a_source(b"art")) == kept


def test_a_given_file_of_another_version_is_refused(empty: Path, tmp_path: Path):
    given = tmp_path / "downloaded"
    given.write_bytes(b"newer art")
    with pytest.raises(SetupIncomplete, match=r"is not the file of registry art 1\.0 .*: ask the librarian"):
        assets.fetch(a_source(b"art"), given)
    assert not empty.exists()


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (("no-such-client", "get"), "no-such-client is not installed here"),
        (("false",), r"`false` failed \(no message\)"),
        (("true",), "registry art 1.0 does not contain art.bin"),
    ],
)
def test_a_client_that_cannot_fetch_says_what_to_do(empty: Path, client: tuple[str, ...], said: str):
    with pytest.raises(SetupIncomplete, match=f"{said}.*: ask the librarian"):
        assets.fetch(a_source(b"art", client=client))


def test_what_a_client_downloads_is_kept(empty: Path):
    source = a_source(b"art", client=("sh", "-c", "printf art > art.bin"))
    assert assets.fetch(source).read_bytes() == b"art"


def _pixels(image: Image.Image) -> list[bytes]:
    data = image.tobytes()
    return [data[at : at + 3] for at in range(0, len(data), 3)]
