"""The offline CMQA suite: conflicts and controls differ in one fact, and no source alone gives them away."""

import re
from collections import Counter, defaultdict
from dataclasses import replace
from io import BytesIO

import PIL
import pytest
from PIL import Image, features
from typer import Typer
from typer.testing import CliRunner

from xmguard.errors import InvalidRequest, SetupIncomplete
from xmguard_research.benchmarks.cards import card
from xmguard_research.benchmarks.cmqa import PAIRS, VARIANTS, items
from xmguard_research.benchmarks.cmqa.__main__ import main
from xmguard_research.benchmarks.cmqa.baselines import rankings, rules, values_in
from xmguard_research.benchmarks.cmqa.drawn import LOOKED_AT, drawn_digest
from xmguard_research.benchmarks.cmqa.items import TRIPLES, another_look, line
from xmguard_research.benchmarks.cmqa.pictures import PIXELS, png
from xmguard_research.benchmarks.cmqa.telling import WORDINGS, telling
from xmguard_research.benchmarks.lines import digest
from xmguard_research.scenes import KINDS, STYLES, assets, draw, scenes
from xmguard_research.scenes.spec import SKILLS


@pytest.fixture(scope="module")
def suite():
    return tuple(items())


@pytest.fixture(params=STYLES)
def style(request):
    try:
        assets.art(request.param)
    except SetupIncomplete as missing:
        pytest.skip(str(missing))
    return request.param


def by_cell(some):
    """The four items of every triple and variant, by pair."""
    cells = defaultdict(dict)
    for item in some:
        cells[item.triple, item.variant][item.pair] = item
    return cells


def command():
    app = Typer()
    app.command()(main)
    return app


def test_the_suite_is_the_one_of_its_card(suite):
    published = card("xmguard_research.benchmarks.cmqa")
    assert len(suite) == published.items == TRIPLES * len(VARIANTS) * len(PAIRS)
    assert digest(map(line, suite)) == published.sha256, (
        "if the data are meant to change, give card.json a new version and digest"
    )


def test_the_pictures_are_those_of_the_card_where_the_same_libraries_draw(style):
    published = card("xmguard_research.benchmarks.cmqa")
    if (PIL.__version__, features.version("freetype2")) != tuple(published.made_with.values()):
        pytest.skip(f"drawn with {dict(published.made_with)}")
    assert drawn_digest(style) == published.pictures[style]


def test_a_seed_gives_the_same_items_again_and_another_gives_others(suite):
    assert digest(map(line, items(14))) == digest(map(line, suite[: 14 * 16]))
    assert {one.triple for one in items(14)}.isdisjoint(one.triple for one in items(14, seed=2))


def test_all_kinds_and_skills_are_there(suite):
    triples = {item.triple: item for item in suite}.values()
    assert set(Counter(item.kind for item in triples)) == set(KINDS)
    assert min(Counter(item.kind for item in triples).values()) >= TRIPLES // len(KINDS)
    assert {item.skill for item in triples} == set(SKILLS) - {"presence"}


def test_every_source_stands_in_a_conflict_and_in_a_control(suite):
    for cell in by_cell(suite).values():
        assert {pair for pair in PAIRS if cell[pair].conflict} == {"ab", "ba"}
        for place in range(2):
            standing = Counter((item.sources[place], item.conflict) for item in cell.values())
            assert set(standing.values()) == {1}
            assert len(standing) == 4


def test_twins_differ_in_the_asked_fact_and_are_asked_the_same_question(suite):
    for item in suite:
        first, second = (dict(source.scene.items) for source in item.sources)
        changed = {name for name in first if first[name] != second[name]}
        assert changed == ({item.slot} if item.conflict else set())
        asked = [source.scene.fact(item.slot).questions for source in item.sources]
        assert item.question in asked[0]
        assert asked[0] == asked[1]
        assert item.answers == tuple(source.scene.fact(item.slot).answer for source in item.sources)


def test_modalities_stand_in_the_order_of_the_variant(suite):
    for item in suite:
        assert item.variant == "-".join(source.modality for source in item.sources)


def test_the_marked_sentence_states_the_answer(suite):
    for item in suite:
        for source in item.sources:
            if source.told:
                assert source.told.sentence in source.scene.fact(item.slot).statements
                assert source.told.text.count(source.told.sentence) == 1


def test_a_paragraph_has_several_sentences_and_two_wordings_share_none(suite):
    for item in suite:
        if item.variant == "text-text":
            first, second = (re.split(r"(?<=\.) (?=[A-Z0-9$€])", source.told.text) for source in item.sources)
            assert 3 <= len(first) == len(second) <= 5
            assert set(first).isdisjoint(second)


def test_twins_are_told_in_the_same_sentences_but_for_the_value():
    for scene in scenes(split="test", seed=4, count=70):
        for fact in scene.facts:
            for value in scene.alternatives(fact.slot)[:1]:
                twin = scene.with_fact(fact.slot, value)
                for wording in WORDINGS:
                    told, other = (telling(one, fact.slot, wording) for one in (scene, twin))
                    which = [one.fact(fact.slot).statements for one in (scene, twin)]
                    assert which[0].index(told.sentence) == which[1].index(other.sentence)


def test_two_pictures_are_drawn_with_different_looks_and_say_what_the_scenes_say(suite):
    for item in suite:
        if item.variant == "image-image":
            first, second = (source.scene for source in item.sources)
            assert first.look != second.look
            assert another_look(replace(first, id="")).items == first.items


def test_wordings_and_looks_take_turns(suite):
    firsts = [cell["aa"].sources[0] for (_, variant), cell in by_cell(suite).items() if variant == "image-image"]
    given = {scene.look for scene in scenes(split="test", seed=1, count=2 * TRIPLES)}
    assert Counter(source.scene.look in given for source in firsts) == {True: TRIPLES // 2, False: TRIPLES // 2}


def test_a_picture_is_small_and_nearly_what_was_drawn(style):
    for scene in scenes(split="test", seed=1, count=LOOKED_AT):
        data = png(scene, style)
        assert len(data) < 16_000
        with Image.open(BytesIO(data)) as picture:
            shown = picture.convert("RGB")
        assert shown.size == (PIXELS, PIXELS)
        drawn = draw(scene, style=style)
        off = [abs(a - b) for a, b in zip(shown.tobytes(), drawn.tobytes(), strict=True)]
        assert sum(off) / len(off) < 6


def test_missing_art_names_the_command_that_fetches_it(monkeypatch, tmp_path):
    monkeypatch.setenv(assets.FOLDER, str(tmp_path))
    monkeypatch.setattr(assets, "_DEBIAN", tmp_path / "none")
    assets.art.cache_clear()
    png.cache_clear()
    try:
        with pytest.raises(SetupIncomplete, match=r"python -m xmguard_research\.scenes fetch"):
            png(next(scenes(split="test", seed=1, count=1)), "fluent")
    finally:
        assets.art.cache_clear()


def test_what_cannot_be_made_is_refused_before_anything_is_made():
    with pytest.raises(InvalidRequest, match=r"'audio-text'.* is not among text-image"):
        items(1, variants=["audio-text"])
    with pytest.raises(InvalidRequest, match="'photo' is not one of activity"):
        items(1, kinds=["photo"])
    with pytest.raises(InvalidRequest, match="must be 1 or more, not 0"):
        items(0)


def test_only_the_oracle_solves_every_variant_and_words_nearly_solve_two_texts(suite):
    found = {(rule.name, rule.variant): rule for rule in rules(suite[: 16 * 28])}
    for variant in VARIANTS:
        assert (found["oracle", variant].detected, found["oracle", variant].false_alarms) == (1, 0)
        assert (found["always", variant].detected, found["always", variant].false_alarms) == (1, 1)
    assert {variant for name, variant in found if "value" in name} == {"text-text"}
    assert 0.9 < found["values not the same", "text-text"].detected <= 1


def test_words_find_the_value_that_a_text_states(suite):
    named = [item for item in suite if item.variant == "text-text" and item.skill not in ("position", "presence")]
    for item in named[::7]:
        for source in item.sources:
            assert source.answer in {value.lower() for value in values_in(source, item)}


def test_no_source_alone_tells_a_conflict_and_shared_words_do_within_a_triple(suite):
    found = {(one.name, one.variant): one for one in rankings(suite[: 16 * 28])}
    for (name, _), one in found.items():
        if "alone" in name:
            assert one.auroc.value == pytest.approx(0.5, abs=0.02)
    assert found["word overlap", "text-text"].within_triples.value > 0.9


def test_the_command_writes_lines_and_pictures_and_says_whether_they_are_published(tmp_path, style):
    out, folder = tmp_path / "cmqa.jsonl", tmp_path / "pictures"
    told = ["--triples", "2", "--out", str(out), "--pictures", str(folder), "--style", style]
    done = CliRunner().invoke(command(), told)
    assert done.exit_code == 0, done.output
    assert out.read_bytes() == b"".join(line(item) for item in items(2))
    assert len(list(folder.iterdir())) == 8
    assert f"8 pictures in {style}" in done.output
    assert "published" not in done.output
