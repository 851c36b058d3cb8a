"""CLQA's paragraphs lettered in pictures: the same words, legible, and alike in a conflict and its control."""

from collections import Counter, defaultdict
from io import BytesIO

import matplotlib
import PIL
import pytest
from PIL import Image, features
from typer import Typer
from typer.testing import CliRunner

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.cards import card
from xmguard_research.benchmarks.clqa import items as clqa
from xmguard_research.benchmarks.lines import digest
from xmguard_research.benchmarks.pixels.__main__ import main
from xmguard_research.benchmarks.pixels.drawn import drawn_digest
from xmguard_research.benchmarks.pixels.items import VARIANTS, items, line
from xmguard_research.benchmarks.pixels.page import PIXELS, laid_out, png


@pytest.fixture(scope="module")
def suite():
    return tuple(items())


def test_the_suite_is_the_one_of_its_card(suite):
    published = card("xmguard_research.benchmarks.pixels")
    assert len(suite) == published.items
    assert digest(map(line, suite)) == published.sha256, (
        "if the data are meant to change, give card.json a new version and digest"
    )


def test_the_pages_are_those_of_the_card_where_the_same_libraries_draw():
    published = card("xmguard_research.benchmarks.pixels")
    here = PIL.__version__, features.version("freetype2"), matplotlib.__version__
    if here != tuple(published.made_with.values()):
        pytest.skip(f"drawn with {dict(published.made_with)}")
    assert drawn_digest() == published.pictures["pages"]


def test_a_page_shows_every_word_of_its_paragraph(suite):
    for item in suite:
        for source, kind in zip(item.sources, item.variant.split("-"), strict=True):
            assert (source.page is not None) == (kind == "pixels")
            if source.page:
                assert " ".join(source.page.lines).split() == source.paragraph.text.split()


def test_variants_of_a_topic_hold_the_same_words_and_those_of_clqa(suite):
    texts = defaultdict(set)
    for item in suite:
        texts[item.topic, item.conflict].add(tuple(source.paragraph.text for source in item.sources))
    assert {len(found) for found in texts.values()} == {1}
    given = {
        (one.topic, one.conflict): tuple(paragraph.text for paragraph in one.paragraphs)
        for one in clqa(chosen=[("en", "en")], sizes=["short"])
        if not one.swapped
    }
    assert {key: found.pop() for key, found in texts.items()} == given


def test_every_variant_has_as_many_conflicts_as_controls(suite):
    assert set(Counter((item.variant, item.conflict) for item in suite).values()) == {400}
    assert {item.variant for item in suite} == set(VARIANTS)
    assert len({item.id for item in suite}) == len(suite)
    assert all(item.conflict == (item.answers[0] != item.answers[1]) for item in suite)


def test_a_conflict_and_its_control_are_on_the_same_paper(suite):
    looks = defaultdict(set)
    for item in suite:
        if item.variant == "pixels-pixels":
            looks[item.topic].add(tuple((source.page.look, source.page.face) for source in item.sources))
    assert {len(found) for found in looks.values()} == {1}


def test_letters_are_on_the_page_and_large():
    for item in items(7, variants=["pixels-pixels"]):
        for page in (source.page for source in item.sources):
            assert page.size * PIXELS / 224 >= 24
            with Image.open(BytesIO(png(page, PIXELS))) as picture:
                grey = picture.convert("L")
            assert grey.size == (PIXELS, PIXELS)
            # Dark letters within the margins, none beyond.
            inside = grey.crop((30, 30, PIXELS - 30, PIXELS - 30))
            assert sum(value < 60 for value in inside.tobytes()) > 2000


@pytest.mark.parametrize("code", ["tr", "is", "es", "fr", "de"])
def test_there_are_letters_for_every_latin_language(code):
    made = list(items(21, languages=("en", code), variants=["text-pixels"]))
    assert {item.variant for item in made} == {f"text-pixels en-{code}"}
    assert {item.sources[1].paragraph.language for item in made} == {code}


def test_what_cannot_be_lettered_is_refused():
    with pytest.raises(InvalidRequest, match="there is no typeface for"):
        next(items(1, languages=("en", "zh"), variants=["text-pixels"]))
    with pytest.raises(InvalidRequest, match="do not fit on a page"):
        laid_out("word " * 2000, "look")
    with pytest.raises(InvalidRequest, match=r"'text-audio'.* is not among text-text"):
        next(items(1, variants=["text-audio"]))


def test_long_paragraphs_fit_too():
    assert all(source.page for item in items(7, size="long", variants=["pixels-pixels"]) for source in item.sources)


def test_the_command_writes_lines_and_pages(tmp_path):
    app = Typer()
    app.command()(main)
    out, folder = tmp_path / "pixels.jsonl", tmp_path / "pages"
    done = CliRunner().invoke(app, ["--topics", "2", "--out", str(out), "--pictures", str(folder), "--pixels", "224"])
    assert done.exit_code == 0, done.output
    assert out.read_bytes() == b"".join(line(item) for item in items(2))
    assert len(list(folder.iterdir())) == 6
    assert "6 pages" in done.output
    assert "published" not in done.output
