"""Turkish, against the contract of languages and against what the CLDR writes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from xmguard.evidence import AnswerKind
from xmguard.plugins import load_plugins
from xmguard.testing import LanguageContract
from xmguard.testing.cldr import cases, misread
from xmguard.verdict.equality import Agreement, compare

# The source folder, so that the tests also run where the plugin is not installed.
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
import xmguard_lang_tr

TURKISH = xmguard_lang_tr.TURKISH
KNOWN = {
    "decimal 1.234",  # "1,234" is a thousand in English
    "decimal 12.345",
    "unit short 25 ft",  # "fit" is an English word; the number is read
    "unit long 25 lb",  # a "libre" may be money
}


class TestTurkish(LanguageContract):
    language = TURKISH
    yes, no = "evet", "hayır"
    not_stated = ["Metinde belirtilmemiş.", "Bilinmiyor.", "Bu konuda bilgi yok.", "Kaynak bundan bahsetmiyor."]
    conflicts = ["Kaynaklar birbiriyle çelişiyor.", "İki metin arasında çelişki var.", "Kaynaklar uyuşmuyor."]
    no_conflicts = [
        "Kaynaklar çelişmiyor.",
        "Bir çelişki yok.",
        "Kaynaklar arasında çelişki görülmüyor.",
        "Köprü çelikten yapıldı.",
    ]
    number_questions = ["Kaç kişi öldü?", "Köprü ne zaman açıldı?", "Maliyeti ne kadar?", "Hangi yıl kuruldu?"]
    other_questions = ["Köprüyü kim yaptı?", "Nerede yaşıyor?"]
    sentences = [
        "Köprü 3. Mart günü açıldı. ",
        "Dr. Yılmaz elma, armut vb. Akdeniz meyveleri sattı. ",
        "Gelen var mı? ",
        "Yok.",
    ]


def test_what_the_cldr_writes_is_read_but_for_what_is_known():
    tried = cases("tr")
    assert len(tried) >= 100
    assert set(misread(TURKISH, tried)) == KNOWN
    assert f"{len(tried) - len(KNOWN)} of {len(tried)}" in Path(__file__).parents[1].joinpath("README.md").read_text()


SAID = {
    "yüzde yirmi beş": (AnswerKind.NUMBER, "25", "%"),
    "%25'i": (AnswerKind.NUMBER, "25", "%"),
    "İki bin yirmi dört": (AnswerKind.NUMBER, "2024", ""),
    "bin dokuz yüz doksan dokuz": (AnswerKind.NUMBER, "1999", ""),
    "iki buçuk milyon lira": (AnswerKind.NUMBER, "2500000", "try"),
    "yirmi bir kişi": (AnswerKind.NUMBER, "21", "person"),
    "2021'de yüzde 25 arttı": (AnswerKind.NUMBER, "25", "%"),
    "3 Mart 2024'te": (AnswerKind.DATE, "2024-03-03", ""),
    "29 Ekim'de": (AnswerKind.DATE, "XXXX-10-29", ""),
    "saat 20.15'te": (AnswerKind.TIME, "20:15", ""),
    "Evet, köprü açık.": (AnswerKind.BOOLEAN, "yes", ""),
    "iki binden fazla kişi": (AnswerKind.NUMBER, "2000", ""),
    "2 milyondan fazla": (AnswerKind.NUMBER, "2000000", ""),
    "5 milyonluk": (AnswerKind.NUMBER, "5000000", ""),
    "iki yüzden fazla": (AnswerKind.NUMBER, "200", ""),
    "üç yüz yirmi beşi": (AnswerKind.NUMBER, "325", ""),
    "otuz dördü": (AnswerKind.NUMBER, "34", ""),
    "yirmi beşinci": (AnswerKind.TEXT, "20_beşinci", ""),
    "binde 5": (AnswerKind.NUMBER, "5", ""),
    "sıfırın altında 5 derece": (AnswerKind.TEXT, "sıfırın_altında_5_derece", ""),
    "10 ila 12 kişi": (AnswerKind.TEXT, "10-12 person", ""),
    "50 kuruş": (AnswerKind.NUMBER, "50", "cent"),
    "3 haftalık": (AnswerKind.NUMBER, "3", "week"),
    "3 ayda": (AnswerKind.NUMBER, "3", "month"),
    "3 ayı": (AnswerKind.NUMBER, "3", ""),
    "25 kişiyi": (AnswerKind.NUMBER, "25", "person"),
    "5 milyon liraya": (AnswerKind.NUMBER, "5000000", "try"),
    "5 ince dilim": (AnswerKind.NUMBER, "5", ""),
    "1,234": (AnswerKind.TEXT, "1_234", ""),
    "12 bin kişi": (AnswerKind.NUMBER, "12000", "person"),
    "1000 bin": (AnswerKind.TEXT, "1000_bin", ""),
    "bin": (AnswerKind.TEXT, "bin", ""),
    "eksi 5 derece": (AnswerKind.NUMBER, "-5", ""),
    "saat 8 buçuk": (AnswerKind.TEXT, "saat_8_buçuk", ""),
    "sekiz buçuk saat": (AnswerKind.NUMBER, "8.5", "h"),
    "3 saat 20 dakika": (AnswerKind.TEXT, "3 h 20 min", ""),
    "iki düzine": (AnswerKind.TEXT, "2_düzine", ""),
    "gece 2.30": (AnswerKind.TIME, "2:30", "am"),
    "gece 11.30": (AnswerKind.TIME, "23:30", "pm"),
    "akşam saat 8'de": (AnswerKind.TIME, "20:00", "pm"),
    "on": (AnswerKind.TEXT, "on", ""),
    "bir otobüs": (AnswerKind.TEXT, "bir otobüs", ""),
    "21. yüzyıl": (AnswerKind.TEXT, "21th yüzyıl", ""),
    "3'te 2": (AnswerKind.TEXT, "3_2", ""),
    "Ankara'da": (AnswerKind.TEXT, "ankara", ""),
    "The text doesn't say.": (AnswerKind.NONE, "", ""),
    "25 percent": (AnswerKind.NUMBER, "25", "%"),
}


@pytest.mark.parametrize(("answer", "expected"), SAID.items())
def test_answers(answer, expected):
    said = TURKISH.normalize(answer)
    assert (said.kind, said.value, said.unit) == expected


def test_until_is_not_since():
    assert compare(*map(TURKISH.normalize, ("2024'e kadar", "2024'ten beri"))) is Agreement.UNKNOWN


def test_claims_hold_across_languages():
    english = load_plugins().languages.items["en"]
    for answer, other in (("yüzde 25", "25%"), ("3 Mart 2024", "March 3, 2024"), ("12 kilometre", "12 km")):
        assert compare(TURKISH.normalize(answer), english.normalize(other)) is Agreement.SAME
    assert compare(TURKISH.normalize("yüzde 25"), english.normalize("15%")) is Agreement.DIFFERENT


def test_the_registry_finds_the_language(monkeypatch):
    monkeypatch.setenv("XMGUARD_PLUGINS", "")  # registered here by hand, also where it is installed
    registry = load_plugins(extra={"lang-tr": xmguard_lang_tr})
    assert registry.language("tr-TR") is TURKISH
