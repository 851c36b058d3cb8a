"""Five languages, against the contract of languages and against what the CLDR writes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from xmguard.evidence import AnswerKind
from xmguard.languages.local import LocalLanguage
from xmguard.plugins import load_plugins
from xmguard.testing import LanguageContract
from xmguard.testing.cldr import cases, misread
from xmguard.verdict.equality import Agreement, compare

# The source folder, so that the tests also run where the plugin is not installed.
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
import xmguard_lang_european
from xmguard_lang_european.german import GERMAN

LANGUAGES = {language.tag: language for language in xmguard_lang_european.xmguard_languages()}
# "1,234" is a thousand in English; a year of two digits is of any century; a pound may be money.
DECIMALS = {"decimal 1.234", "decimal 12.345"}
TWO_DIGITS = {case.form for case in cases("de") if case.form.startswith("date short")}
POUND = {"unit long 25 lb"}
KNOWN = {
    "es": DECIMALS
    | TWO_DIGITS
    | POUND
    | {"unit short 25 in", "unit short 25 day", "unit short 25 month", "unit short 25 year"},
    "fr": DECIMALS | POUND | {"unit short 25 month", "unit short 25 ft"},  # "25 m." are metres, and "pi" is a number
    "de": DECIMALS | TWO_DIGITS | POUND | {"unit short 25 in", "unit short 25 week"},  # "in" and "where"
    "pt": DECIMALS | POUND,
    "it": DECIMALS | TWO_DIGITS | {"unit short 25 in", "unit short 25 week"},  # "25 sett." may be a day of September
}


class TestSpanish(LanguageContract):
    language = LANGUAGES["es"]
    yes, no = "sí", "no"
    not_stated = ["No se menciona.", "El texto no lo dice.", "No lo sé.", "Desconocido", "No hay información."]
    conflicts = [
        "Las fuentes se contradicen.",
        "No, las fuentes se contradicen.",
        "Hay una contradicción entre los textos.",
        "Los datos no coinciden.",
    ]
    no_conflicts = [
        "Las fuentes no se contradicen.",
        "No encuentro contradicciones.",
        "No hay ninguna contradicción.",
        "El puente es rojo.",
    ]
    number_questions = ["¿Cuántas personas murieron?", "¿Cuándo se abrió?", "¿En qué año fue?"]
    other_questions = ["¿Quién construyó el puente?", "¿Dónde vive?"]
    sentences = ["El Sr. García pagó 3,5 millones. ", "¿De verdad? ", "¡Sí! ", "EE. UU. no pagó."]


class TestFrench(LanguageContract):
    language = LANGUAGES["fr"]
    yes, no = "oui", "non"
    not_stated = ["Ce n'est pas mentionné.", "Le texte ne le dit pas.", "Je ne sais pas.", "Aucune information."]
    conflicts = [
        "Les sources se contredisent : ce n'est pas 25 mais 30.",
        "Les sources se contredisent.",
        "Il y a une contradiction.",
        "Les chiffres ne concordent pas.",
    ]
    no_conflicts = [
        "Les sources ne se contredisent pas.",
        "Il n'y a aucune contradiction.",
        "Les textes ne semblent pas se contredire.",
        "Le pont est rouge.",
    ]
    number_questions = ["Combien de personnes sont mortes ?", "Quand a-t-il ouvert ?", "Quelle année ?"]
    other_questions = ["Qui a construit le pont ?", "Où habite-t-il ?"]
    sentences = ["M. Dupont est parti le 3 mars. ", "« Vraiment ? » ", "Oui, env. 20 km. ", "Fin"]


class TestGerman(LanguageContract):
    language = LANGUAGES["de"]
    yes, no = "ja", "nein"
    not_stated = ["Das wird im Text nicht erwähnt.", "Nicht angegeben.", "Ich weiß es nicht.", "Unbekannt"]
    conflicts = ["Die Quellen widersprechen sich.", "Es gibt einen Widerspruch.", "Die Zahlen stimmen nicht überein."]
    no_conflicts = [
        "Die Quellen widersprechen sich nicht.",
        "Es gibt keinen Widerspruch.",
        "Es gibt keine offensichtlichen Widersprüche.",
        "Die Quellen scheinen sich nicht zu widersprechen.",
        "Die Brücke ist rot.",
    ]
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
    ("es", "$3 mil millones"): (AnswerKind.NUMBER, "3000000000", "usd"),
    ("es", "12 mil millones"): (AnswerKind.NUMBER, "12000000000", ""),
    ("es", "12 mil habitantes"): (AnswerKind.NUMBER, "12000", ""),
    ("es", "en 2021 mil personas"): (AnswerKind.TEXT, "en 2021_1000 person", ""),
    ("pt", "12 mil"): (AnswerKind.NUMBER, "12000", ""),
    ("fr", "12 mille"): (AnswerKind.NUMBER, "12000", ""),
    ("de", "12 Tausend Euro"): (AnswerKind.NUMBER, "12000", "eur"),
    ("de", "2 Trillionen"): (AnswerKind.TEXT, "2_trillionen", ""),
    ("fr", "2 trillions"): (AnswerKind.TEXT, "2_trillions", ""),
    ("fr", "moins 5 degrés"): (AnswerKind.NUMBER, "-5", ""),
    ("es", "menos cinco grados"): (AnswerKind.NUMBER, "-5", ""),
    ("pt", "menos 5 graus"): (AnswerKind.NUMBER, "-5", ""),
    ("it", "meno 5 gradi"): (AnswerKind.NUMBER, "-5", ""),
    ("es", "al menos 5"): (AnswerKind.NUMBER, "5", ""),
    ("es", "hay menos 5 personas"): (AnswerKind.TEXT, "hay_menos_5_personas", ""),
    ("es", "12 de la noche"): (AnswerKind.TEXT, "12_de_la_noche", ""),
    ("es", "a las 12 de la mañana"): (AnswerKind.TEXT, "a_las_12_de_la_manana", ""),
    ("es", "a las 2 de la noche"): (AnswerKind.TIME, "2:00", "am"),
    ("pt", "12 da noite"): (AnswerKind.TEXT, "12_da_noite", ""),
    ("pt", "às 9 da noite"): (AnswerKind.TIME, "21:00", "pm"),
    ("it", "alle 2 di notte"): (AnswerKind.TIME, "2:00", "am"),
    ("es", "a las 8 y media"): (AnswerKind.TEXT, "a_las_8_y_media", ""),
    ("es", "a las 9 menos cuarto"): (AnswerKind.TEXT, "a_las_9_menos_cuarto", ""),
    ("it", "alle 8 e mezza"): (AnswerKind.TEXT, "alle_8_e_mezza", ""),
    ("pt", "às 8 e meia"): (AnswerKind.TEXT, "às_8_e_meia", ""),
    ("fr", "à 8 heures et demie"): (AnswerKind.TEXT, "à_8_heures_et_demie", ""),
    ("fr", "à 8 heures moins le quart"): (AnswerKind.TEXT, "à_8_heures_moins_le_quart", ""),
    ("de", "halb acht"): (AnswerKind.TEXT, "halb_8", ""),
    ("de", "Viertel vor acht"): (AnswerKind.TEXT, "viertel_vor_8", ""),
    ("fr", "il y a 2 heures"): (AnswerKind.NUMBER, "2", "h"),
    ("fr", "à 2 heures"): (AnswerKind.TIME, "2:00", ""),
    ("es", "las 12 provincias"): (AnswerKind.NUMBER, "12", ""),
    ("es", "La 5"): (AnswerKind.NUMBER, "5", ""),
    ("it", "3 ore 20 minuti"): (AnswerKind.TEXT, "3 h 20 min", ""),
    ("de", "zwei Dutzend"): (AnswerKind.TEXT, "2_dutzend", ""),
    ("fr", "deux douzaines"): (AnswerKind.TEXT, "2_douzaines", ""),
    ("fr", "1 m 78"): (AnswerKind.TEXT, "1 m 78", ""),
    ("es", "el soldado desconocido"): (AnswerKind.TEXT, "el soldado desconocido", ""),
    ("fr", "le soldat inconnu"): (AnswerKind.TEXT, "le soldat inconnu", ""),
    ("es", "Es desconocido."): (AnswerKind.NONE, "", ""),
    ("es", "once"): (AnswerKind.TEXT, "once", ""),
    ("es", "once años"): (AnswerKind.NUMBER, "11", "year"),
    ("es", "un autobús"): (AnswerKind.TEXT, "un autobús", ""),
    ("es", "a las 8 de la tarde"): (AnswerKind.TIME, "20:00", "pm"),
    ("pt", "dois mil e vinte e quatro"): (AnswerKind.NUMBER, "2024", ""),
    ("pt", "R$ 25"): (AnswerKind.NUMBER, "25", "brl"),
    ("it", "duemilaventiquattro"): (AnswerKind.NUMBER, "2024", ""),
    ("it", "due milioni e mezzo"): (AnswerKind.NUMBER, "2500000", ""),
    ("de", "10 bis 12 Personen"): (AnswerKind.TEXT, "10-12 person", ""),
    ("de", "zwischen zehn und zwölf km"): (AnswerKind.TEXT, "10-12 km", ""),
    ("fr", "10 à 12 personnes"): (AnswerKind.TEXT, "10-12 person", ""),
    ("es", "entre 10 y 12 personas"): (AnswerKind.TEXT, "10-12 person", ""),
    ("es", "mató en 2021 a 25 personas"): (AnswerKind.NUMBER, "25", "person"),
    ("pt", "10 a 12 pessoas"): (AnswerKind.TEXT, "10-12 person", ""),
    ("it", "tra 10 e 12 persone"): (AnswerKind.TEXT, "10-12 person", ""),
    ("it", "da 10 a 12 persone"): (AnswerKind.NUMBER, "12", "person"),  # perhaps a change
    ("de", "mehrere tausend Menschen"): (AnswerKind.TEXT, "mehrere_1000_menschen", ""),
    ("de", "rund tausend Menschen"): (AnswerKind.NUMBER, "1000", "person"),
    ("de", "einer von drei"): (AnswerKind.TEXT, "einer_von_3", ""),
    ("de", "5 °C unter null"): (AnswerKind.TEXT, "5_°c_unter_null", ""),
    ("de", "5 Grad minus"): (AnswerKind.TEXT, "5_grad_minus", ""),
    ("de", "zwei und ein halbes Jahr"): (AnswerKind.NUMBER, "2.5", "year"),
    ("fr", "5 °C en dessous de zéro"): (AnswerKind.TEXT, "5_°c_en_dessous_de_0", ""),
    ("fr", "vingt et unième siècle"): (AnswerKind.TEXT, "20_et_unième_siècle", ""),
    ("es", "5 °C bajo cero"): (AnswerKind.TEXT, "5_°c_bajo_0", ""),
    ("pt", "5 °C negativos"): (AnswerKind.TEXT, "5_°c_negativos", ""),
    ("pt", "vários mil"): (AnswerKind.TEXT, "vários_1000", ""),
    ("it", "5 °C sotto zero"): (AnswerKind.TEXT, "5_°c_sotto_0", ""),
    ("it", "nel 44 a.C."): (AnswerKind.NUMBER, "44", ""),
    ("it", "44 ac"): (AnswerKind.NUMBER, "44", "acre"),
    ("de", "15 Cent"): (AnswerKind.NUMBER, "15", "cent"),
    ("fr", "15 centimes"): (AnswerKind.NUMBER, "15", "cent"),
    ("fr", "deux cents euros"): (AnswerKind.NUMBER, "200", "eur"),
    ("es", "15 céntimos"): (AnswerKind.NUMBER, "15", "cent"),
    ("pt", "15 centavos"): (AnswerKind.NUMBER, "15", "cent"),
    ("it", "ventotto"): (AnswerKind.NUMBER, "28", ""),
    ("it", "alle 20.15"): (AnswerKind.TIME, "20:15", ""),
}


@pytest.mark.parametrize(("said", "expected"), SAID.items())
def test_answers(said, expected):
    tag, answer = said
    read = LANGUAGES[tag].normalize(answer)
    assert (read.kind, read.value, read.unit) == expected


@pytest.mark.parametrize(
    ("tag", "one", "other"),
    [
        ("de", "seit 2024", "bis 2024"),
        ("de", "ab 2024", "bis 2024"),
        ("es", "desde 2024", "hasta 2024"),
        ("fr", "depuis 2024", "jusqu'en 2024"),
        ("pt", "desde 2024", "até 2024"),
        ("it", "dal 2024", "fino al 2024"),
        ("de", "€1,200", "1.200 €"),
        ("es", "44 a. C.", "44 d. C."),
        ("pt", "44 a.C.", "44 d.C."),
        ("it", "44 a.C.", "44 d.C."),
        ("de", "US$ 1,500", "1.500 US$"),
        ("fr", "il y a 2 heures", "à 2 heures"),
    ],
)
def test_what_may_be_two_claims_is_neither_same_nor_different(tag, one, other):
    assert compare(*map(LANGUAGES[tag].normalize, (one, other))) is Agreement.UNKNOWN


def test_a_word_cannot_tell_claims_apart_and_carry_none():
    with pytest.raises(ValueError, match="seit"):
        LocalLanguage(replace(GERMAN, function_words=f"{GERMAN.function_words} seit"))


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
