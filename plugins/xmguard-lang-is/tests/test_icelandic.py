"""Icelandic, against the contract of languages and against what the CLDR writes."""

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
import xmguard_lang_is

ICELANDIC = xmguard_lang_is.ICELANDIC
KNOWN = {
    "decimal 1.234",  # "1,234" is a thousand in English
    "decimal 12.345",
    "unit short 25 in",  # "25 t." are tonnes to everybody else
    "unit short 25 month",  # "1 man" is English
    "unit short 25 t",  # "25 tn" are trillions in English
    "unit long 25 lb",  # a "pund" may be money
}


class TestIcelandic(LanguageContract):
    language = ICELANDIC
    yes, no = "já", "nei"
    not_stated = ["Það kemur ekki fram í textanum.", "Ekki er vitað hvenær.", "Veit ekki.", "Engar upplýsingar."]
    conflicts = ["Heimildirnar eru í mótsögn.", "Heimildirnar stangast á.", "Textunum ber ekki saman."]
    no_conflicts = ["Engin mótsögn er á milli heimildanna.", "Heimildirnar stangast ekki á.", "Brúin er rauð."]
    number_questions = ["Hversu margir létust?", "Hvenær opnaði brúin?", "Hvaða ár var það?"]
    other_questions = ["Hver byggði brúna?", "Hvar býr hún?"]
    sentences = ["Brúin opnaði 5. Mars var kaldur. ", "Hún kostar u.þ.b. 42 milljónir kr. ", "Er það satt? ", "Já."]


def test_what_the_cldr_writes_is_read_but_for_what_is_known():
    tried = cases("is")
    assert len(tried) >= 100
    assert set(misread(ICELANDIC, tried)) == KNOWN
    assert f"{len(tried) - len(KNOWN)} of {len(tried)}" in Path(__file__).parents[1].joinpath("README.md").read_text()


SAID = {
    "kortér yfir átta": (AnswerKind.TEXT, "kortér_yfir_8", ""),  # a quarter past eight, not 8
    "tuttugu og fimm prósent": (AnswerKind.NUMBER, "25", "%"),
    "eitt þúsund níu hundruð níutíu og níu": (AnswerKind.NUMBER, "1999", ""),
    "tvö þúsund og fimm hundruð": (AnswerKind.NUMBER, "2500", ""),
    "tvær milljónir króna": (AnswerKind.NUMBER, "2000000", "isk"),
    "ein og hálf milljón": (AnswerKind.NUMBER, "1500000", ""),
    "hálf milljón": (AnswerKind.NUMBER, "500000", ""),
    "1.500 kr.": (AnswerKind.NUMBER, "1500", "isk"),
    "25%, en árið er ekki nefnt": (AnswerKind.NUMBER, "25", "%"),
    "árið 2021": (AnswerKind.NUMBER, "2021", ""),
    "þriðjudaginn 5. mars 2024": (AnswerKind.DATE, "2024-03-05", ""),
    "kl. 20.15": (AnswerKind.TIME, "20:15", ""),
    "Nei, brúin er lokuð.": (AnswerKind.BOOLEAN, "no", ""),
    "2. sæti": (AnswerKind.TEXT, "2th sæti", ""),
    "25 t.": (AnswerKind.TEXT, "25_t", ""),
    "tuttugu og þrjá menn": (AnswerKind.NUMBER, "23", "person"),
    "2 millj. kr.": (AnswerKind.NUMBER, "2000000", "isk"),
    "2,5 m.kr.": (AnswerKind.NUMBER, "2500000", "isk"),
    "2 ma.kr.": (AnswerKind.NUMBER, "2000000000", "isk"),
    "10 til 12 manns": (AnswerKind.TEXT, "10-12 person", ""),
    "2 m": (AnswerKind.NUMBER, "2", "m"),
    "5 stiga frost": (AnswerKind.TEXT, "5_stiga_frost", ""),
    "nokkur þúsund": (AnswerKind.TEXT, "nokkur_1000", ""),
    "1,234": (AnswerKind.TEXT, "1_234", ""),
    "12 þúsund": (AnswerKind.NUMBER, "12000", ""),
    "mínus 5 gráður": (AnswerKind.NUMBER, "-5", ""),
    "tvær tylftir": (AnswerKind.TEXT, "2_tylftir", ""),
    "1 man": (AnswerKind.NUMBER, "1", ""),
    "sex": (AnswerKind.TEXT, "sex", ""),
    "It is not mentioned.": (AnswerKind.NONE, "", ""),
}


@pytest.mark.parametrize(("answer", "expected"), SAID.items())
def test_answers(answer, expected):
    said = ICELANDIC.normalize(answer)
    assert (said.kind, said.value, said.unit) == expected


@pytest.mark.parametrize(("one", "other"), [("frá 2024", "til 2024"), ("fyrir 2024", "eftir 2024")])
def test_before_is_not_after(one, other):
    assert compare(ICELANDIC.normalize(one), ICELANDIC.normalize(other)) is Agreement.UNKNOWN


def test_claims_hold_across_languages():
    english = load_plugins().languages.items["en"]
    for answer, other in (("25 prósent", "25%"), ("3. mars 2024", "March 3, 2024"), ("12 kílómetrar", "12 km")):
        assert compare(ICELANDIC.normalize(answer), english.normalize(other)) is Agreement.SAME


def test_the_registry_finds_the_language(monkeypatch):
    monkeypatch.setenv("XMGUARD_PLUGINS", "")  # registered here by hand, also where it is installed
    assert load_plugins(extra={"lang-is": xmguard_lang_is}).language("is-IS") is ICELANDIC
