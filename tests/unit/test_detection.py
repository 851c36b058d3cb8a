from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from xmguard.languages import xmguard_detect_language
from xmguard.languages.detection import detect

SENTENCES = {
    "en": ["The mayor said the bridge would open in March.", "It rained.", "Is he alive?"],
    "zh": ["产量提高了大约百分之二十五。", "他还活着吗?", "这条河长120公里。", "北京", "臺灣的總統在台北發表演說。"],
    "tr": ["Yeni köprü bugün törenle hizmete girdi.", "Bu otobüs her gün şehre gider."],
    "is": ["Afraksturinn jókst um 25 prósent.", "Brúin var opnuð í mars."],
    "es": ["Madrid es la capital de España.", "La empresa anunció que cerrará su fábrica."],
    "fr": ["Le maire a annoncé l'ouverture du pont.", "Est-il vivant ?"],
    "de": ["Der Ertrag stieg um etwa 25 Prozent.", "Lebt er noch?"],
    "ru": ["Урожайность выросла примерно на 25 процентов.", "Москва — столица России."],
    "ja": ["収量は約25%向上しました。", "はい"],
    "ar": ["قال رئيس البلدية إن الجسر سيفتح في مارس."],
}


@pytest.mark.parametrize(("tag", "text"), [(tag, text) for tag, texts in SENTENCES.items() for text in texts])
def test_recognises(tag: str, text: str) -> None:
    assert detect(text) == tag


@pytest.mark.parametrize("text", ["", " ", "42", "25%", "!!!", "12:30", "OK", "A", "No", "Bus", "3.5 kg", "SKU-2231-B"])
def test_says_nothing_when_there_is_too_little(text: str) -> None:
    assert detect(text) is None


def test_the_hook_is_the_detector() -> None:
    assert xmguard_detect_language(text="The bridge will open on Tuesday.") == "en"


def test_many_threads_share_one_classifier() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(detect, ["The bridge will open on Tuesday.", "Der Ertrag stieg um etwa ein Viertel."] * 20)
        )
    assert found == ["en", "de"] * 20


def test_importing_the_languages_loads_neither_classifier_nor_date_parser() -> None:
    code = "import sys, xmguard.languages; print([m for m in ('py3langid', 'dateutil', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
