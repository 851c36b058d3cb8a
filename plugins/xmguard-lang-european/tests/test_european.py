"""Five languages, against the contract of languages and against what the CLDR writes."""

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
import xmguard_lang_european

LANGUAGES = {language.tag: language for language in xmguard_lang_european.xmguard_languages()}
# "1,234" is a thousand in English; a year of two digits is of any century; a pound may be money.
DECIMALS = {"decimal 1.234", "decimal 12.345"}
TWO_DIGITS = {case.form for case in cases("de") if case.form.startswith("date short")}
POUND = {"unit long 25 lb"}
KNOWN = {
    "es": DECIMALS | TWO_DIGITS | POUND | {"unit short 25 day", "unit short 25 month", "unit short 25 year"},
    "fr": DECIMALS | POUND | {"unit short 25 month"},  # "25 m." are metres
    "de": DECIMALS | TWO_DIGITS | POUND | {"unit short 25 in"},  # "in" is a preposition
    "pt": DECIMALS | POUND,
    "it": DECIMALS | TWO_DIGITS | {"unit short 25 week"},  # "25 sett." may be a day of September
}


class TestSpanish(LanguageContract):
    language = LANGUAGES["es"]
    yes, no = "sí", "no"
    not_stated = ["No se menciona.", "El texto no lo dice.", "No lo sé.", "Desconocido", "No hay información."]
    conflicts = ["Las fuentes se contradicen.", "Hay una contradicción entre los textos.", "Los datos no coinciden."]
    no_conflicts = ["Las fuentes no se contradicen.", "No hay ninguna contradicción.", "El puente es rojo."]
    number_questions = ["¿Cuántas personas murieron?", "¿Cuándo se abrió?", "¿En qué año fue?"]
    other_questions = ["¿Quién construyó el puente?", "¿Dónde vive?"]
    sentences = ["El Sr. García pagó 3,5 millones. ", "¿De verdad? ", "¡Sí! ", "EE. UU. no pagó."]


class TestFrench(LanguageContract):
    language = LANGUAGES["fr"]
    yes, no = "oui", "non"
    not_stated = ["Ce n'est pas mentionné.", "Le texte ne le dit pas.", "Je ne sais pas.", "Aucune information."]
    conflicts = ["Les sources se contredisent.", "Il y a une contradiction.", "Les chiffres ne concordent pas."]
    no_conflicts = ["Les sources ne se contredisent pas.", "Il n'y a aucune contradiction.", "Le pont est rouge."]
    number_questions = ["Combien de personnes sont mortes ?", "Quand a-t-il ouvert ?", "Quelle année ?"]
    other_questions = ["Qui a construit le pont ?", "Où habite-t-il ?"]
    sentences = ["M. Dupont est parti le 3 mars. ", "« Vraiment ? » ", "Oui, env. 20 km. ", "Fin"]


class TestGerman(LanguageContract):
    language = LANGUAGES["de"]
    yes, no = "ja", "nein"
    not_stated = ["Das wird im Text nicht erwähnt.", "Nicht angegeben.", "Ich weiß es nicht.", "Unbekannt"]
    conflicts = ["Die Quellen widersprechen sich.", "Es gibt einen Widerspruch.", "Die Zahlen stimmen nicht überein."]
    no_conflicts = ["Die Quellen widersprechen sich nicht.", "Es gibt keinen Widerspruch.", "Die Brücke ist rot."]
    number_questions = ["Wie viele Menschen starben?", "Wann wurde sie eröffnet?", "In welchem Jahr war das?"]
    other_questions = ["Wer baute die Brücke?", "Wo wohnt er?"]
    sentences = ["Am 3. März kostete es z.B. 42 Mio. Euro. ", "Das sagt Dr. Müller bzw. Meier. ", "Ja? ", "Nein."]


class TestPortuguese(LanguageContract):
    language = LANGUAGES["pt"]
    yes, no = "sim", "não"
    not_stated = ["Não é mencionado.", "O texto não diz.", "Não sei.", "Desconhecido", "Não há informação."]
    conflicts = ["As fontes se contradizem.", "Há uma contradição entre os textos.", "Os números divergem."]
    no_conflicts = ["As fontes não se contradizem.", "Não há nenhuma contradição.", "A ponte é vermelha."]
    number_questions = ["Quantas pessoas morreram?", "Quando abriu?", "Em que ano foi?"]
    other_questions = ["Quem construiu a ponte?", "Onde ele mora?"]
    sentences = ["O Sr. Silva pagou 3,5 milhões. ", "É verdade? ", "Sim, p. ex. Ontem foi assim. ", "Fim"]


class TestItalian(LanguageContract):
    language = LANGUAGES["it"]
    yes, no = "sì", "no"
    not_stated = ["Non è menzionato.", "Il testo non lo dice.", "Non lo so.", "Sconosciuto", "Nessuna informazione."]
    conflicts = ["Le fonti si contraddicono.", "C'è una contraddizione.", "I dati non concordano."]
    no_conflicts = ["Le fonti non si contraddicono.", "Non c'è alcuna contraddizione.", "Il ponte è rosso."]
    number_questions = ["Quante persone sono morte?", "Quando è stato aperto?", "In quale anno?"]
    other_questions = ["Chi ha costruito il ponte?", "Dove abita?"]
    sentences = ["Il dott. Rossi ha pagato 3,5 milioni. ", "Davvero? ", "Sì, ecc. Milano era lontana. ", "Fine"]


@pytest.mark.parametrize("tag", LANGUAGES)
def test_what_the_cldr_writes_is_read_but_for_what_is_known(tag):
    tried = cases(tag)
    assert len(tried) >= 100
    assert set(misread(LANGUAGES[tag], tried)) == KNOWN[tag]
    readme = Path(__file__).parents[1].joinpath("README.md").read_text()
    assert f"| {tag} | {len(tried) - len(KNOWN[tag])} of {len(tried)} |" in readme


SAID = {
    ("de", "zweitausenddreihundert"): (AnswerKind.NUMBER, "2300", ""),
    ("de", "fünfundzwanzig Prozent"): (AnswerKind.NUMBER, "25", "%"),
    ("de", "zwei und eine halbe Million"): (AnswerKind.NUMBER, "2500000", ""),
    ("de", "zweieinhalb Stunden"): (AnswerKind.NUMBER, "2.5", "h"),
    ("de", "12 starben im Jahr 2021"): (AnswerKind.NUMBER, "12", ""),
    ("de", "12.345,67 €"): (AnswerKind.NUMBER, "12345.67", "eur"),
    ("de", "1.234"): (AnswerKind.NUMBER, "1234", ""),
    ("de", "1,234"): (AnswerKind.TEXT, "1_234", ""),
    ("de", "1,234,567"): (AnswerKind.NUMBER, "1234567", ""),
    ("de", "1 Billion Euro"): (AnswerKind.TEXT, "1_billion euro", ""),
    ("de", "zwei Drittel"): (AnswerKind.TEXT, "2_drittel", ""),
    ("de", "im 21. Jahrhundert"): (AnswerKind.TEXT, "im 21th jahrhundert", ""),
    ("de", "Zwischen 10 und 20"): (AnswerKind.TEXT, "zwischen 10 und 20", ""),
    ("de", "03/04/2024"): (AnswerKind.TEXT, "03/04/2024", ""),
    ("de", "8 Uhr abends"): (AnswerKind.TIME, "20:00", "pm"),
    ("de", "25 %, aber das Jahr ist nicht angegeben."): (AnswerKind.NUMBER, "25", "%"),
    ("fr", "quatre-vingt-dix-sept"): (AnswerKind.NUMBER, "97", ""),
    ("fr", "deux millions et demi d'euros"): (AnswerKind.NUMBER, "2500000", "eur"),
    ("fr", "deux heures et demie"): (AnswerKind.NUMBER, "2.5", "h"),
    ("fr", "un demi-million"): (AnswerKind.NUMBER, "500000", ""),
    ("fr", "03/04/2024"): (AnswerKind.DATE, "2024-04-03", ""),
    ("fr", "1er mars 2024"): (AnswerKind.DATE, "2024-03-01", ""),
    ("fr", "31 février 2024"): (AnswerKind.TEXT, "31 février 2024", ""),
    ("fr", "20h15"): (AnswerKind.TIME, "20:15", ""),
    ("fr", "2 billions"): (AnswerKind.TEXT, "2_billions", ""),
    ("fr", "1 234 567"): (AnswerKind.TEXT, "1 234 567", ""),
    ("es", "mil novecientos noventa y nueve"): (AnswerKind.NUMBER, "1999", ""),
    ("es", "dos mil millones"): (AnswerKind.NUMBER, "2000000000", ""),
    ("es", "3,5 millones de dólares"): (AnswerKind.NUMBER, "3500000", "usd"),
    ("es", "veinticinco por ciento"): (AnswerKind.NUMBER, "25", "%"),
    ("es", "once"): (AnswerKind.TEXT, "once", ""),
    ("es", "once años"): (AnswerKind.NUMBER, "11", "year"),
    ("es", "un autobús"): (AnswerKind.TEXT, "un autobús", ""),
    ("es", "a las 8 de la tarde"): (AnswerKind.TIME, "20:00", "pm"),
    ("pt", "dois mil e vinte e quatro"): (AnswerKind.NUMBER, "2024", ""),
    ("pt", "R$ 25"): (AnswerKind.NUMBER, "25", "brl"),
    ("it", "duemilaventiquattro"): (AnswerKind.NUMBER, "2024", ""),
    ("it", "due milioni e mezzo"): (AnswerKind.NUMBER, "2500000", ""),
    ("it", "ventotto"): (AnswerKind.NUMBER, "28", ""),
    ("it", "alle 20.15"): (AnswerKind.TIME, "20:15", ""),
}


@pytest.mark.parametrize(("said", "expected"), SAID.items())
def test_answers(said, expected):
    tag, answer = said
    read = LANGUAGES[tag].normalize(answer)
    assert (read.kind, read.value, read.unit) == expected


def test_claims_hold_across_languages():
    english = load_plugins().languages.items["en"]
    same = {
        "25%": {"es": "25 por ciento", "fr": "25 %", "de": "25 Prozent", "pt": "25 por cento", "it": "25 per cento"},
        "March 3, 2024": {"es": "3 de marzo de 2024", "fr": "3 mars 2024", "de": "3. März 2024", "it": "3 marzo 2024"},
        "12 km": {"es": "12 kilómetros", "fr": "douze kilomètres", "pt": "12 quilômetros", "it": "12 chilometri"},
    }
    for said, others in same.items():
        for tag, answer in others.items():
            assert compare(LANGUAGES[tag].normalize(answer), english.normalize(said)) is Agreement.SAME


def test_the_registry_finds_the_languages(monkeypatch):
    monkeypatch.setenv("XMGUARD_PLUGINS", "")  # registered here by hand, also where it is installed
    registry = load_plugins(extra={"lang-european": xmguard_lang_european})
    assert registry.language("pt-BR").name == "Portuguese"
    assert set(LANGUAGES) < set(registry.languages.names())
