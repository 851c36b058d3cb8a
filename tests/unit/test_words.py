"""Words in a form that compares across wordings and languages."""

import pytest

from xmguard.verdict.words import content_words, found_in, is_number, words


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Café CRÈME naïve", ["cafe", "creme", "naive"]),
        ("ﬁn ５０％ Ⅳ", ["fin", "50", "iv"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("İSTANBUL istanbul ISPARTA ısparta", ["istanbul", "istanbul", "isparta", "isparta"]),
        ("١٢٣ ١٬٠٠٠ ١٢٫٥ ١٢٫٣٤٥", ["123", "1000", "12.5", "12.345"]),
        ("१२३ दिल्ली", ["123", "दलल"]),
        ("1,000 1.000 1,234,567 1.234.567", ["1000", "1000", "1234567", "1234567"]),
        ("1,000.50 1.000,50", ["1000.50", "1000.50"]),
        ("2,5 2.5 0,125 0.125 12.34", ["2.5", "2.5", "0.125", "0.125", "12.34"]),
        ("10-20 3rd 25%.", ["10", "20", "3", "rd", "25"]),
        ("四月二十日", ["4", "月", "2", "10", "日"]),
        ("大陆 参加", ["大", "陆", "参", "加"]),
        ("iPhone手机 Tokyoは東京", ["iphone", "手", "机", "tokyo", "は", "東", "京"]),
        ("コーヒー・ショップ", ["コ", "ー", "ヒ", "ー", "シ", "ョ", "ッ", "フ"]),
        ("snake_case 'quoted'", ["snake", "case", "quoted"]),
        ("", []),
    ],
)
def test_texts_are_folded_into_words(text, folded):
    assert words(text) == folded


def test_function_words_are_left_out_after_folding():
    assert content_words("The CAFÉ is À Paris", {"the", "is", "a"}) == ["cafe", "paris"]


def test_numbers_are_what_is_in_digits():
    assert [is_number(word) for word in words("四 12 x2 km")] == [True, True, False, True, False]


@pytest.mark.parametrize(
    ("word", "other", "same"),
    [
        ("afrika", "africa", True),
        ("president", "presidente", True),
        ("paris", "paris", True),
        ("rom", "rom", True),
        ("iran", "iraq", False),
        ("bank", "band", False),
        ("west", "east", False),
        ("rome", "roma", False),
        ("kuba", "kubas", False),
        ("austria", "hungary", False),
        ("nation", "station", False),
        ("2021", "2022", False),
        ("12345", "12346", False),
    ],
)
def test_longer_words_match_their_cognates_and_short_ones_only_themselves(word, other, same):
    assert found_in(word, {other, "unrelated"}) is same
    assert found_in(other, {word, "unrelated"}) is same
    assert not found_in(word, set())
