"""Rewrites what Chinese says about numbers, dates, times and units into the notation of English.

A script without spaces tells words from numerals by what stands around them: "一些" is no 1, and "十分" mostly means
"very". A lone numeral therefore counts only before a unit or a classifier, or as the whole answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from xmguard.languages.english.numerals import canonical
from xmguard.languages.local.dates import ENGLISH_MONTHS, EVENING, written
from xmguard_lang_zh.numerals import DIGITS, POINTS, SCALES, SIGNS, read, scaled

UNITS: Mapping[str, str] = {
    "%": "个百分点 個百分點",
    "km/h": "公里/小时 公里/小時 千米/小时 公里每小时 千米每小时 公里/时",
    "mph": "英里/小时 英里/小時 英里每小时 mi/h",
    "km2": "平方公里 平方千米",
    "m2": "平方米 平方公尺",
    "mi2": "平方英里",
    "km": "公里 千米",
    "cm": "厘米 公分",
    "mm": "毫米",
    "mi": "英里",
    "in": "英寸 英吋",
    "ft": "英尺 英呎",
    "yd": "码 碼",
    "m": "米 公尺",
    "kg": "公斤 千克",
    "mg": "毫克",
    "g": "克 公克",
    "t": "吨 噸 公吨 公噸",
    "lb": "磅",
    "oz": "盎司",
    "ml": "毫升",
    "l": "升 公升",
    "s": "秒钟 秒鐘 秒",
    "min": "分钟 分鐘",
    "h": "个小时 個小時 小时 小時 个钟头",
    "day": "天",
    "week": "周 週 个星期 個星期 星期",
    "month": "个月 個月",
    "year": "年 岁 歲",
    "ha": "公顷 公頃",
    "acre": "英亩 英畝",
    "°c": "摄氏度 攝氏度 °C ℃",
    "°f": "华氏度 華氏度 °F",
    "w": "瓦特 瓦",
    "kw": "千瓦",
    "mw": "兆瓦",
    "person": "个人 個人 人 名 位",
    "usd": "美元 美金",
    "eur": "欧元 歐元",
    "gbp": "英镑 英鎊",
    "jpy": "日元 日圆 日圓",
    "cny": "元人民币 元人民幣 人民币 人民幣 块钱 塊錢 元",
    "cent": "美分 欧分 歐分 分钱 分錢",
    "try": "里拉 土耳其里拉",
    "isk": "冰岛克朗 冰島克朗",
    "rub": "卢布 盧布",
    "inr": "卢比 盧比",
}
_SYMBOL_OF = {name: symbol for symbol, names in UNITS.items() for name in names.split()}
_UNIT = "|".join(sorted(map(re.escape, _SYMBOL_OF), key=len, reverse=True))
_NO_UNIT = "级級代月民然"
"""Signs that make another word of a unit: 年级, 年代, 人民."""
_POINTING = "哪那这這每某任"
"""What makes "一" behind it no number: 哪一年 is "which year"."""
_CLASSIFIER = "个個名位只隻本辆輛座条條张張次件家所台支队隊场場层層项項种種"
_NUMERAL = rf"[{SIGNS}]+"
_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
_NEGATIVE = rf"-?{_NUMBER}"
_AFTER_HALF = "夜天日年价價数數载載"
"""Signs that make another word of a half: 半夜, 半价."""
_ENDS = "".join(sorted({name[-1] for name in _SYMBOL_OF} | set("日号號点點时時分")))
_MINUS = rf"(?:(?<![\w%)])|(?<=[\u3400-\u9fff])(?<![{re.escape(_ENDS)}]))-"
"""A sign, and no dash between two numbers: "10-12公里", "1天-3天"."""
_DAY = r"(?:,?\s?\(?(?:星期|周|週|礼拜|禮拜)[一二三四五六日天]\)?)?"
_MORNING, _AFTERNOON, _NIGHT = "上午|早上|早晨|清晨|凌晨", "下午|傍晚", "晚上|夜里|夜裡|半夜|深夜"
_MEASURES = "|".join(sorted(map(re.escape, _SYMBOL_OF.keys() - {"年"}), key=len, reverse=True))
_UNREAD = re.compile(
    rf"[{SIGNS}\d]\s?(?:{_MEASURES})[{SIGNS}\d]|\d\s?[{SIGNS}]+\d|[点點]\S?刻|差\S{{1,4}}[点點]|[点點]差|[{SIGNS}\d]打(?!\w)"
    rf"|[{SIGNS}\d]\s?[到至]\s?[{SIGNS}\d]"
)
"""What goes on behind a unit ("1米78") or a scale ("12万3千"), a quarter to three, dozens, ranges: not read at all."""
_MINUTE_BELOW_TEN = re.compile(rf"(?<=[点點时時])[零〇○](?=[{DIGITS}]分)")
_BELOW_ZERO = re.compile(rf"(?:零下|(?<![\d个個胜勝场場])[负負])\s?({_NUMBER})")
# Before numerals are read: what follows tells whether they are meant as such.
_COUNTED = re.compile(
    r"(?P<idiom>十分(?!钟|鐘|之)|千万(?=[别不要])|万一|萬一|一[些样樣起般直切定旦致]|统一|唯一|之一|一半)"
    rf"|[{SIGNS}]+[{POINTS}][{DIGITS}]++(?![分刻十])"
    rf"|(?<![第几幾数數好星期周週\d]){_NUMERAL}(?=\s*(?:{_UNIT}|[{_CLASSIFIER}]|[年月日号號时時分点點%]|世[纪紀]|$|[^\w\s]))"
    rf"|(?<=百分之){_NUMERAL}|(?<=零下){_NUMERAL}|(?<=[负負]){_NUMERAL}|(?<![第几幾数數好期周週\d])[{DIGITS}十][{SIGNS}]+"
)
_SHARE = re.compile(rf"百分之\s?({_NUMBER})")
_PART = re.compile(rf"(?<![\d{SIGNS}])(\d+|[{SIGNS}]+)分之(\d+|[{SIGNS}]+)(?![\d{SIGNS}])")
_SCALED = re.compile(rf"(?<![\d.,])({_NUMBER})\s?([百千]?[{SCALES}]+|[百千](?!米|克|瓦))(?![{SIGNS}\d])")
_ORDINAL = re.compile(r"(第\s?)(\d+)(?![\dt])|()(?<!\d)(\d+)(?=世[纪紀])")
_FULL = re.compile(rf"(\d{{4}})年(\d{{1,2}})月(\d{{1,2}})[日号號]{_DAY}")
_MONTH = re.compile(r"(\d{4})年(\d{1,2})月(?![\d日号號])")
_MONTH_DAY = re.compile(rf"(?<![\d年])(\d{{1,2}})月(\d{{1,2}})[日号號]{_DAY}")
_YEAR = re.compile(r"(?<![\d.,])(?<!\d[-~])([12]\d{3})年(?![级級代份度])(?=(?:的|,|,?在|[\u4e00-\u9fff]|\s|$|[^\w\s]))")
_DECADE = re.compile(r"(?<!\d)(\d+)年代")
_TIME = re.compile(
    rf"(?<![\d.,:])(?:(?P<am>{_MORNING})|(?P<pm>{_AFTERNOON})|(?P<night>{_NIGHT})|中午)?\s?(?P<hour>\d{{1,2}})"
    r"(?:(?::|[点點时時])(?:(?P<minute>\d{1,2})分?(?!钟|鐘|\d)|(?P<half>半))"
    rf"|(?:[点點][钟鐘整]?|[时時]整?(?![间間候期段代]))(?![\d差{SIGNS}]))"
)
_ON_THE_CLOCK = re.compile(r"(?<=\d):|(?<=\d)(?=[点點时時])")
_SPEED = re.compile(rf"每小[时時]({_NUMBER})\s?(公里|千米|英里)")
_AND_A_HALF = re.compile(rf"(?<!\d)(\d{{1,3}})(\s?(?:{_UNIT}))半(?![{_AFTER_HALF}])")
_HALF = re.compile(rf"(?<!\d)(\d+)\s?[个個]半(?={_UNIT}|小[时時]|月|星期)")
_MEASURE = re.compile(rf"(?<!\d)((?:{_NUMBER}[-~]|{_MINUS})?{_NUMBER})\s?({_UNIT})(?![{_NO_UNIT}])")
_DEGREES = re.compile(rf"(摄氏|攝氏|华氏|華氏)\s?({_NEGATIVE})度")
_BARE = re.compile(rf"(?<=\d)[{_CLASSIFIER}]?(?=[\u3400-\u9fff])")
_IDEOGRAPH = re.compile("[\u3400-\u9fff]")


def rewrite(text: str) -> str:
    """A cleaned answer in the notation of English; what is no number, date, time or unit stays where it is."""
    if _UNREAD.search(text):
        return text
    text = _MINUTE_BELOW_TEN.sub("", text)
    text = _PART.sub(_part, text)
    text = _COUNTED.sub(_numeral, text)
    text = _SHARE.sub(r" \1% ", text)
    text = _SCALED.sub(lambda match: canonical(scaled(match[1].replace(",", ""), match[2])), text)
    text = _BELOW_ZERO.sub(r" -\1", text)
    text = _ORDINAL.sub(lambda match: f"{match[1] or ''} {match[2] or match[4]}th ", text)
    text = _FULL.sub(lambda match: _date(match, int(match[1]), int(match[2]), int(match[3])), text)
    text = _MONTH.sub(lambda match: _month(match), text)
    text = _MONTH_DAY.sub(lambda match: _date(match, 0, int(match[1]), int(match[2])), text)
    text = _YEAR.sub(r" in \1 ", _DECADE.sub(r" \1s ", text))
    text = _TIME.sub(_time, text)
    text = _AND_A_HALF.sub(r"\1.5\2", text)
    text = _HALF.sub(lambda match: f"{match[1]}.5{'个' if match.string[match.end()] == '月' else ''}", text)
    text = _SPEED.sub(lambda match: f" {match[1]} {'mph' if match[2] == '英里' else 'km/h'} ", text)
    text = _DEGREES.sub(lambda match: f" {match[2]} {'°c' if match[1][0] in '摄攝' else '°f'} ", text)
    text = _MEASURE.sub(lambda match: f" {match[1]} {_symbol(match[2])} ", text)
    return re.sub(r"  +", " ", _BARE.sub(" ", text)).strip()


def _numeral(match: re.Match[str]) -> str:
    said = match[0]
    value = None if match["idiom"] else read(said)
    if value is None:
        return said
    start, end = match.span()
    before, after = match.string[max(0, start - 4) : start], match.string[end : end + 1]
    within = _IDEOGRAPH.match(before[-1:]) is not None and not before.endswith("百分之")
    # "李四" is a name, and "千万" at the end of a clause only means many.
    if within and ((len(said) == 1 and not _IDEOGRAPH.match(after)) or said[0] in f"百千{SCALES}"):
        return said
    if said == "一" and before.endswith(tuple(_POINTING)):
        return said
    return said if len(said) == 1 and said in f"百千{SCALES}" else canonical(value)


def _part(match: re.Match[str]) -> str:
    if match[1] == "百":
        return match[0]
    of, part = (said if said.isdecimal() else read(said) for said in match.groups())
    return f" {part}/{of} " if part and of else match[0]


def _date(match: re.Match[str], year: int, month: int, day: int) -> str:
    found = written(year, month, day) if month <= 12 else None
    return match[0] if found is None else f" {found} "


def _month(match: re.Match[str]) -> str:
    month = int(match[2])
    return f" {ENGLISH_MONTHS[month - 1]} {match[1]} " if 1 <= month <= 12 else match[0]


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match["hour"]), 30 if match["half"] else int(match["minute"] or 0)
    if hour > 24 or minute > 59:
        return match[0]
    if hour == 12 and (match["am"] or match["pm"] or match["night"]):  # midnight to some
        return _ON_THE_CLOCK.sub("_", match[0])
    night = ("pm" if hour >= EVENING else "am") if match["night"] else ""
    half = "am" if match["am"] else "pm" if match["pm"] else night
    return f" {hour}:{minute:02} {half if 1 <= hour < 12 else ''} ".replace("  ", " ")


def _symbol(name: str) -> str:
    symbol = _SYMBOL_OF[name]
    return "inch" if symbol == "in" else symbol
