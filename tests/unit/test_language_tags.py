"""What a text reads as, and when that is worth a warning."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.unit.detection_texts import TEXTS
from xmguard.context import Context, ContextSpan
from xmguard.language_tags import RELIABLE_LETTERS, asked_in, language_of, language_warnings, question_language
from xmguard.languages.detection import detect
from xmguard.languages.scripts import script_language
from xmguard.span import Span

SUPPORTED = {tag: SimpleNamespace(tag=tag) for tag in TEXTS}
REGISTRY = SimpleNamespace(
    detect_language=detect, language=lambda tag: SUPPORTED.get(tag.lower()) or SUPPORTED.get(tag.lower().split("-")[0])
)


def warned(text, tag):
    span = ContextSpan(Span("s1", text, language=tag), "text", tag)
    return language_warnings(Context((span,), "Who?"), REGISTRY)


@pytest.mark.parametrize("tag", TEXTS)
def test_no_sentence_and_no_long_beginning_of_one_contradicts_its_language(tag):
    for text in TEXTS[tag]:
        assert warned(text, tag) == []
        words = text.split(" ")
        for count in range(1, len(words)):
            assert warned(" ".join(words[:count]), tag) == [], words[:count]


@pytest.mark.parametrize("tag", TEXTS)
def test_a_sentence_labelled_as_another_language_is_a_warning_and_keeps_its_label(tag):
    other = "de" if tag != "de" else "en"
    caught = [text for text in TEXTS[tag] if warned(text, other)]
    long = [text for text in TEXTS[tag] if sum(map(str.isalpha, text)) >= (6 if tag == "zh" else RELIABLE_LETTERS)]
    assert len(long) >= 6
    assert len(caught) >= 0.9 * len(long)
    assert warned(caught[0], other) == [
        f"spans[0].language: s1 is labelled {other!r} but reads as {tag!r}; {other!r} is kept"
    ]


def test_regions_and_scripts_of_a_tag_contradict_nothing():
    assert warned(TEXTS["pt"][0], "pt-BR") == warned(TEXTS["zh"][-2], "zh-Hant-TW") == []


def test_a_tag_that_no_plugin_knows_is_not_judged():
    assert warned("Le maire a annoncé l'ouverture du nouveau pont.", "oc") == []


def test_pictures_and_unlabelled_texts_contradict_nothing():
    assert warned("", "de") == []
    span = ContextSpan(Span("s1", TEXTS["de"][0]), "text", "de")
    assert language_warnings(Context((span,), ""), REGISTRY) == []


def test_an_unrecognised_language_is_a_warning():
    span = ContextSpan(Span("s1", "42"), "text", "und")
    assert language_warnings(Context((span,), ""), REGISTRY) == [
        "language of s1 was not recognised; say it in spans[].language"
    ]


@pytest.mark.parametrize(
    ("question", "tag"),
    [
        ("When does the last train leave?", "en"),
        ("Wann fährt heute abend der letzte Zug?", "de"),
        ("末班车什么时候开?", "zh"),
        ("谁?", "en"),  # too short
        ("Wer?", "en"),
        ("Kiedy odjeżdża ostatni pociąg z Warszawy?", "en"),  # no plugin
        ("", "en"),
    ],
)
def test_a_question_is_put_in_its_own_language_where_that_is_clear(question, tag):
    assert asked_in(question, REGISTRY) == tag


def test_a_question_that_is_not_english_is_a_warning():
    (said,) = language_warnings(Context((), "Wann fährt der letzte Zug?", "de"), REGISTRY)
    assert said.startswith("question: reads as 'de'")


def test_a_question_in_a_language_without_a_plugin_is_a_warning():
    question = "Kiedy odjeżdża ostatni pociąg z Warszawy?"
    assert question_language(question, REGISTRY) == "pl"
    (said,) = language_warnings(Context((), question, "en", "pl"), REGISTRY)
    assert said.startswith("question: reads as 'pl', which has no plugin")
    assert question_language("Kiedy?", REGISTRY) == "en", "too short to tell"


def test_what_nobody_recognises_is_undetermined():
    assert language_of("42", REGISTRY) == language_of("", REGISTRY) == "und"


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("北京", "zh"),
        ("橋は三月に開通した", "ja"),
        ("コーヒー", "ja"),
        ("台北の街", "ja"),
        ("他喝了一杯从日本带回来的の茶", "zh"),
        ("다리", "ko"),
        ("γέφυρα", "el"),
        ("הגשר", "he"),
        ("สะพาน", "th"),
        ("мост", None),
        ("bridge 桥", None),
        ("42", None),
        ("", None),
    ],
)
def test_a_script_decides_where_one_language_has_it(text, tag):
    assert script_language(text) == tag
