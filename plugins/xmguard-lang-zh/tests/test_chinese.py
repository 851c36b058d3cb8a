"""Chinese, against the contract of languages and against what the CLDR writes."""

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
import xmguard_lang_zh
from xmguard_lang_zh.numerals import read

CHINESE = xmguard_lang_zh.CHINESE
KNOWN = {"decimal 1.234", "decimal 12.345"}  # "1.234" is a thousand in much of Europe


class TestChinese(LanguageContract):
    language = CHINESE
    yes, no = "是", "不是"
    not_stated = ["文中没有提到。", "未知", "資料沒有說明年份。", "无法确定。", "没有相关信息。"]
    conflicts = ["两份资料相互矛盾。", "来源之间存在冲突。", "兩篇報導說法不一。"]
    no_conflicts = [
        "两份资料没有矛盾。",
        "没有发现矛盾。",
        "未发现矛盾。",
        "资料之间不存在冲突。",
        "边境爆发了冲突。",
        "大桥是红色的。",
    ]
    number_questions = ["有多少人受伤？", "大桥是哪一年建成的？", "什么时候开放？", "河有多长？"]
    other_questions = ["谁建了这座桥？", "他住在哪里？"]
    sentences = ["大桥耗资3.5亿元。", "“真的吗？”", "她问！", "然后走了"]


def test_what_the_cldr_writes_is_read_but_for_what_is_known():
    tried = cases("zh")
    assert len(tried) >= 100
    assert set(misread(CHINESE, tried)) == KNOWN
    assert f"{len(tried) - len(KNOWN)} of {len(tried)}" in Path(__file__).parents[1].joinpath("README.md").read_text()


SAID = {
    "百分之二十五": (AnswerKind.NUMBER, "25", "%"),
    "产量提高了25%": (AnswerKind.NUMBER, "25", "%"),
    "３．５亿元": (AnswerKind.NUMBER, "350000000", "cny"),
    "一億兩千萬": (AnswerKind.NUMBER, "120000000", ""),
    "25万人": (AnswerKind.NUMBER, "250000", "person"),
    "两个半小时": (AnswerKind.NUMBER, "2.5", "h"),
    "三点五": (AnswerKind.NUMBER, "3.5", ""),
    "每小时25公里": (AnswerKind.NUMBER, "25", "km/h"),
    "摄氏25度": (AnswerKind.NUMBER, "25", "°c"),
    "25美元": (AnswerKind.NUMBER, "25", "usd"),
    "2021年有25人": (AnswerKind.NUMBER, "25", "person"),
    "25%，但没有说明年份": (AnswerKind.NUMBER, "25", "%"),
    "二〇二四年三月五日": (AnswerKind.DATE, "2024-03-05", ""),
    "2024年3月5日星期二": (AnswerKind.DATE, "2024-03-05", ""),
    "3月5日": (AnswerKind.DATE, "XXXX-03-05", ""),
    "晚上8点15分": (AnswerKind.TIME, "20:15", "pm"),
    "夜里2点": (AnswerKind.TIME, "2:00", "am"),
    "晚上12点": (AnswerKind.TEXT, "晚上 12_点", ""),
    "三点一刻": (AnswerKind.TEXT, "三点一刻", ""),
    "差一刻三点": (AnswerKind.TEXT, "差一刻三点", ""),
    "零下5度": (AnswerKind.NUMBER, "-5", ""),
    "摄氏零下五度": (AnswerKind.NUMBER, "-5", "°c"),
    "负5": (AnswerKind.NUMBER, "-5", ""),
    "1米78": (AnswerKind.TEXT, "1 m 78", ""),
    "12万3千人": (AnswerKind.TEXT, "120000 3000 person", ""),
    "一米七八": (AnswerKind.TEXT, "一米七八", ""),
    "-5℃": (AnswerKind.NUMBER, "-5", "°c"),
    "零下5℃": (AnswerKind.NUMBER, "-5", "°c"),
    "气温为-5℃": (AnswerKind.NUMBER, "-5", "°c"),
    "-3万元": (AnswerKind.NUMBER, "-30000", "cny"),
    "1天-3天": (AnswerKind.TEXT, "1 day 3 day", ""),
    "10-12公里": (AnswerKind.TEXT, "10-12 km", ""),
    "10～12人": (AnswerKind.TEXT, "10~12 person", ""),
    "2021-2024年": (AnswerKind.TEXT, "2021-2024 year", ""),
    "10到12人": (AnswerKind.TEXT, "10到 12人", ""),
    "三到五年": (AnswerKind.TEXT, "三到五年", ""),
    "上升到25%": (AnswerKind.NUMBER, "25", "%"),
    "下午3时": (AnswerKind.TIME, "15:00", "pm"),
    "15时": (AnswerKind.TIME, "15:00", ""),
    "24小时": (AnswerKind.NUMBER, "24", "h"),
    "八点二十": (AnswerKind.TIME, "8:20", ""),
    "八点零五分": (AnswerKind.TIME, "8:05", ""),
    "三点五百万": (AnswerKind.NUMBER, "3500000", ""),
    "5分钱": (AnswerKind.NUMBER, "5", "cent"),
    "一年半": (AnswerKind.NUMBER, "1.5", "year"),
    "三天半": (AnswerKind.NUMBER, "3.5", "day"),
    "一个半月": (AnswerKind.NUMBER, "1.5", "month"),
    "1天半夜": (AnswerKind.NUMBER, "1", "day"),
    "3两": (AnswerKind.TEXT, "3 2", ""),
    "硬币是哪一年铸造的，现在知道了：1340年。": (AnswerKind.NUMBER, "1340", ""),
    "这一年": (AnswerKind.TEXT, "这一年", ""),
    "这三年": (AnswerKind.NUMBER, "3", "year"),
    "没提高": (AnswerKind.TEXT, "没提高", ""),
    "工资未提高": (AnswerKind.TEXT, "工资未提高", ""),
    "他没说谎": (AnswerKind.TEXT, "他没说谎", ""),
    "文中没说": (AnswerKind.NONE, "", ""),
    "不，他已经去世了。": (AnswerKind.BOOLEAN, "no", ""),
    "三分之二": (AnswerKind.TEXT, "2/3", ""),
    "第21届": (AnswerKind.TEXT, "第 21th 届", ""),
    "二十世纪": (AnswerKind.TEXT, "20th 世纪", ""),
    "1990年代": (AnswerKind.TEXT, "1990s", ""),
    "十分重要": (AnswerKind.TEXT, "十分重要", ""),
    "一些人": (AnswerKind.TEXT, "一些人", ""),
    "三四个": (AnswerKind.TEXT, "三四个", ""),
    "李四": (AnswerKind.TEXT, "李四", ""),
    "四川": (AnswerKind.TEXT, "四川", ""),
}


@pytest.mark.parametrize(("answer", "expected"), SAID.items())
def test_answers(answer, expected):
    said = CHINESE.normalize(answer)
    assert (said.kind, said.value, said.unit) == expected


@pytest.mark.parametrize(
    ("numeral", "value"),
    [
        ("零", 0),
        ("十", 10),
        ("十二", 12),
        ("二十", 20),
        ("一百零五", 105),
        ("两百五", 250),
        ("三万五", 35000),
        ("一千零一十五", 1015),
        ("二十万零五百", 200500),
        ("四千二百万", 42_000_000),
        ("一万亿", 10**12),
        ("二〇二四", 2024),
        ("三四", None),
        ("千百", None),
        ("十百", None),
        ("三" * 20_000, None),
    ],
)
def test_numerals(numeral, value):
    assert read(numeral) == value


def test_from_is_not_until():
    assert compare(*map(CHINESE.normalize, ("从2024年", "到2024年"))) is Agreement.UNKNOWN


def test_claims_hold_across_languages():
    english = load_plugins().languages.items["en"]
    for answer, other in (("百分之二十五", "25%"), ("2024年3月3日", "March 3, 2024"), ("12公里", "12 km")):
        assert compare(CHINESE.normalize(answer), english.normalize(other)) is Agreement.SAME


def test_names_in_different_scripts_are_never_called_different():
    english = load_plugins().languages.items["en"]
    for answer, other in (("习近平", "Xi Jinping"), ("北京", "Beijing"), ("伦敦", "Paris")):
        assert compare(CHINESE.normalize(answer), english.normalize(other)) is Agreement.UNKNOWN


def test_the_registry_finds_the_language(monkeypatch):
    monkeypatch.setenv("XMGUARD_PLUGINS", "")  # registered here by hand, also where it is installed
    assert load_plugins(extra={"lang-zh": xmguard_lang_zh}).language("zh-Hant-TW") is CHINESE
