"""Sentences of many scripts, by characters: the ranges tile the text whatever it holds."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmguard.languages.sentences import sentences

CASES = [
    ("en", ["The ferry leaves at 8:15 a.m. ", "Passengers should be early. ", "Bring $3.50."]),
    ("en", ["Dr. J. K. Smith came on Jan. 5, 2021. ", "He saw No. 7 vs. No. 9, e.g. Fig. 3. ", "The U.S. Army paid."]),
    ("en", ["“Really?” she asked. ", '"No!" he said (it was 8 p.m. sharp). ', "Wait... what? ", "yes. ", "It is."]),
    (
        "en",
        ["It was built in 2021.[3][4] ", "It cost 5 million. ", "Then came 2022. ", "He said no. ", "Five of them."],
    ),
    ("en", ["See https://a.org/b?c=d.e or a.b@c.org for v2.0.1 of it. ", "No stop at the end"]),
    (
        "en",
        ["A title\n\n", "A line that is\nwrapped at 8:15. ", "Another\n", "- an item\n", "- 2. an item\n", "12) last"],
    ),
    ("en", ["1. First item. ", "More of it.\n", "2. Second item.\n\n", "The end"]),
    ("zh", ["大桥耗资3.5亿元。", "“真的吗？”", "她问！", "他说：“不。”", "然后走了……", "没有句号"]),
    ("ja", ["価格は３．５円です。", "「本当ですか？」", "と彼女は尋ねた．", "Yes!", "彼は"]),
    ("tr", ["Prof. Dr. Ali bey 3,5 milyon dedi. ", "29. Ekim 1923'te kuruldu. ", "Bkz. s. 5'te. ", "İyi mi? ", "İyi."]),
    ("es", ["¿De verdad? ", "¡Sí! ", "El Sr. García pagó 3,5 millones. ", "EE. UU. no pagó. ", "Núm. 3."]),
    ("de", ["Am 3. Oktober kostete es 42 Mio. Euro. ", "Das sagt z. B. Dr. Müller. ", "»Nein«, sagte er. ", "Ja."]),
    ("de", ["Es war 1953. ", "»Bar« hieß es. ", "Er rief: „Halt!“ ", "Dann ging er, d.h. er lief."]),
    ("fr", ["M. Dupont a dit : « Non ! » ", "Il est parti à 8 h 15. ", "Vraiment ? ", "Oui."]),
    ("is", ["Brúin kostaði 42 milljónir kr. árið 2020. ", "Það var 17. júní sem hún opnaði. ", "Er það satt? ", "Já."]),
    ("ar", ["كلف الجسر 3.5 مليون. ", "هل هذا صحيح؟ ", "قال د. أحمد نعم! ", "انتهى"]),
    ("hi", ["पुल की लागत 3.5 करोड़ थी। ", "डॉ. शर्मा ने पूछा। ", "क्या यह सच है? ", "हाँ॥"]),
    ("ur", ["پل کی لاگت ۴۲ کروڑ تھی۔ ", "کیا یہ سچ ہے؟ ", "ہاں"]),
    ("hy", ["Կամուրջը թանկ էր։ ", "Այո։"]),
    ("th", ["สะพานราคา 42 ล้าน จริงหรือ ใช่"]),
    ("und", ["One here. ", "Two there."]),
]


@pytest.mark.parametrize(("language", "wanted"), CASES, ids=lambda value: value if isinstance(value, str) else value[0])
def test_a_text_is_cut_where_its_sentences_end(language, wanted):
    text = "".join(wanted)
    assert [text[start:end] for start, end in sentences(text, language)] == wanted


def test_only_languages_that_count_with_full_stops_go_on_after_one():
    text = "Of all of them it was number 3. October came."
    assert len(sentences(text, "en")) == len(sentences(text, "")) == 2
    assert len(sentences(text, "de")) == len(sentences(text, "de-AT")) == 1


def test_what_holds_no_letter_joins_its_neighbour():
    text = "*** \n\n One. . .\n\n!!! Two. 🚌"
    assert [text[start:end] for start, end in sentences(text)] == ["*** \n\n One. . .\n\n!!! ", "Two. 🚌"]
    assert sentences("?! 🚌") == ((0, 4),)
    assert sentences("") == ()


def test_characters_are_code_points():
    text = "🚌🚌 cafe\u0301. 標. 👨‍👩‍👧 Two."
    (_, first), (second, _), *_ = sentences(text)
    assert first == second == text.index("標")


PIECES = [".", "!", "…", "。", "।", "؟", "»", "«", "“", "”", '"', "(", "[3]", " ", "\n", "\u00a0", "\u2029", "- ", "1."]
PIECES += ["a", "B", "Dr", "e.g", "42", "標", "है", "🚌", "e\u0301", "\u200f", "\x00", "\ud800"]
texts = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=30).map("".join)


@settings(max_examples=400, deadline=None)
@given(text=texts, language=st.sampled_from(["", "en", "de-AT", "zh", "ar", "x"]))
def test_ranges_tile_any_text_and_each_holds_a_letter_or_is_alone(text, language):
    found = sentences(text, language)
    assert "".join(text[start:end] for start, end in found) == text
    assert all(start < end for start, end in found)
    assert all(before[1] == after[0] for before, after in pairwise(found))
    assert len(found) < 2 or all(any(c.isalnum() for c in text[start:end]) for start, end in found)
