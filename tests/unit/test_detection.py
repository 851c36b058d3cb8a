from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from xmguard.languages import xmguard_detect_language
from xmguard.languages.detection import detect

SENTENCES = {
    "en": [
        "The mayor said the bridge would open in March.",
        "It rained.",
        "Is he alive?",
        "The ferry leaves at eight.",
        "Who won the election?",
        "Where is the station?",
        "She lives in Paris.",
        "The company reported a loss of three million dollars.",
    ],
    "zh": ["产量提高了大约百分之二十五。", "他还活着吗?", "这条河长120公里。", "北京", "臺灣的總統在台北發表演說。"],
    "tr": ["Yeni köprü bugün törenle hizmete girdi.", "Bu otobüs her gün şehre gider."],
    "is": ["Afraksturinn jókst um 25 prósent.", "Brúin var opnuð í mars."],
    "es": [
        "Madrid es la capital de España.",
        "La empresa anunció que cerrará su fábrica.",
        "El puente se abrió en marzo.",
    ],
    "fr": ["Le maire a annoncé l'ouverture du pont.", "Est-il vivant ?", "Le pont a été ouvert en mars."],
    "de": ["Der Ertrag stieg um etwa 25 Prozent.", "Lebt er noch?", "Die Brücke wurde im März eröffnet."],
    "ru": ["Урожайность выросла примерно на 25 процентов.", "Москва — столица России.", "Он жив?"],
    "ja": ["収量は約25%向上しました。", "はい", "橋は三月に開通しました。"],
    "ar": ["قال رئيس البلدية إن الجسر سيفتح في مارس.", "سيارة حمراء"],
    "pt": ["A ponte foi inaugurada em março.", "O prefeito disse que a ponte será aberta."],
    "it": ["Il ponte è stato aperto a marzo.", "Il sindaco ha annunciato la chiusura."],
    "nl": ["De brug werd in maart geopend.", "De burgemeester heeft de brug geopend."],
    "sv": ["Bron öppnades i mars.", "Borgmästaren sade att bron skulle öppnas."],
    "pl": ["Most został otwarty w marcu.", "Burmistrz ogłosił otwarcie mostu."],
    "fi": ["Silta avattiin maaliskuussa."],
    "el": ["Η γέφυρα άνοιξε τον Μάρτιο.", "Ο δήμαρχος ανακοίνωσε την απόφαση."],
    "ko": ["다리는 3월에 개통되었다.", "시장은 다리가 열릴 것이라고 말했다."],
    "hi": ["पुल मार्च में खोला गया।", "गोदावरी नदी पर नया पुल बना है।"],
    "he": ["הגשר נפתח במרץ."],
    "vi": ["Cây cầu được khánh thành vào tháng ba."],
    "cs": ["Most byl otevřen v březnu."],
    "ro": ["Podul a fost deschis în martie."],
    "hu": ["A hidat márciusban nyitották meg."],
    "th": ["สะพานเปิดในเดือนมีนาคม"],
    "uk": ["Міст відкрили у березні."],
}
# fmt: off
TOO_LITTLE = [
    "Bus", "Who won?", "Un bus rouge", "OK", "No", "25%", "SKU-2231-B", "A", "3.5 kg", "12:30", "42",
    "", "!!!", "Yes", "Paris", "bus", "340", "B-17", "X1", "1.200", "km", "2021-03-03", "Ja", "Tak",
    "https://example.org/a1", " "
]
# fmt: on


@pytest.mark.parametrize(("tag", "text"), [(tag, text) for tag, texts in SENTENCES.items() for text in texts])
def test_the_threshold_lets_sentences_through(tag: str, text: str) -> None:
    assert detect(text) == tag


@pytest.mark.parametrize("text", TOO_LITTLE)
def test_the_threshold_holds_back_what_is_too_little(text: str) -> None:
    assert detect(text) is None


def test_a_japanese_word_in_chinese_characters_is_taken_for_chinese() -> None:
    assert detect("東京") == "zh"


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
