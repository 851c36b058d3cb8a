"""Turkish for xmguard: its tables, for the engine of `xmguard.languages.local`. Knows nothing of other languages."""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.contracts import Language
from xmguard.hookspecs import hookimpl
from xmguard.languages.local import LocalLanguage, NumberWords, Tables
from xmguard.prompt_text import PromptText
from xmguard.request import Prompt

_ONES = ["sifir", "bir", "iki", "uc", "dort", "bes", "alti", "yedi", "sekiz", "dokuz"]
_TENS = ["", "on", "yirmi", "otuz", "kirk", "elli", "altmis", "yetmis", "seksen", "doksan"]


def _spelled() -> dict[str, int]:
    """0 to 999; Turkish writes its numbers apart, and on cheques together."""
    below = {(_TENS[n // 10] + (_ONES[n % 10] if n % 10 else "")) or "sifir": n for n in range(100)}
    hundreds = {1: "yuz", **{n: f"{_ONES[n]}yuz" for n in range(2, 10)}}
    return below | {
        hundred + (word if n else ""): 100 * h + n for h, hundred in hundreds.items() for word, n in below.items()
    }


_SUFFIX = (
    r"'(?:n?[dt][ae]n?|y?[aeiu]|s[iu]|n[iu]n|[iu]n|[yn]?l[ae]|l[iu]k|[dt][iu]r|s[iu]nd[ae]n?|s[iu]n[iu]n|ini?|n[iuae])"
    r"(?:ki|dir)?(?!\w)"
)
_CASE = r"(?:y?[aeiu]|n?[iu]n|[dt][ae]n|y?l[ae]|l[iu]k|[dt][iu]r|[dt][ae](?! \w))(?!\w)"
"""Endings that are written to a word; the locative not before another word: "yirmide bir" is a twentieth."""
_COUNTING = "|".join([*_ONES[1:], *_TENS[1:], "yuz", "bin", "milyon", "milyar", "trilyon"])
_UNITS = {
    "km": "kilometre kilometredir",
    "m": "metre metredir",
    "cm": "santimetre santim",
    "mm": "milimetre",
    "mi": "mil",
    "in": "inc",
    "yd": "yarda",
    "g": "gram gr",
    "kg": "kilogram kilo",
    "mg": "miligram",
    "t": "ton",
    "oz": "ons",
    "l": "litre lt",
    "ml": "mililitre",
    "s": "saniye sn",
    "min": "dakika dk",
    "h": "saat sa",
    "day": "gun gundur",
    "week": "hafta hf",
    "month": "ay aydir",
    "year": "yil yildir yas yasinda sene",
    "m2": "metrekare metre_kare",
    "km2": "kilometrekare kilometre_kare",
    "mi2": "mil_kare",
    "ha": "hektar",
    "acre": "akre ac",
    "km/h": "kilometre/saat km/sa km/s",
    "mph": "mil/saat mil/sa",
    "°c": "santigrat_derece derece_celsius derece_santigrat santigrat",
    "°f": "fahrenhayt_derece derece_fahrenheit fahrenhayt",
    "kw": "kilovat",
    "mw": "megavat",
    "w": "vat",
    "person": "kisi kisidir insan",
    "try": "lira turk_lirasi liradir tl",
    "usd": "dolar abd_dolari amerikan_dolari",
    "eur": "avro",
    "gbp": "sterlin ingiliz_sterlini",
    "isk": "izlanda_kronu",
    "cny": "yuan cin_yuani",
    "cent": "kurus sent",
}
_HAVE_ONE = "gundur aydir yildir yasinda metredir kilometredir liradir kisidir"
_NO_ENDINGS = frozenset({"inc", *_HAVE_ONE.split()})
"""Names of units that an ending would make another word of ("ince", thin), or that have one."""


def _inflected(names: str) -> str:
    """Names of units and what they become with an ending; without accusatives that mean other things ("3 ayı")."""
    found = names.split()
    for name in names.split():
        if (len(name) > 2 or name == "ay") and name not in _NO_ENDINGS:
            link, own = ("y", "n") if name[-1] in "aeiou" else ("", "")
            endings = [*(f"{link}{one}" for one in ("a", "e")), *(f"{own}{one}" for one in ("in", "un"))]
            hard = "t" if name[-1] in "cfhkpst" else "d"
            endings += [f"{hard}{one}" for one in ("a", "e", "an", "en", "ir", "ur")] + ["lik", "luk"]
            endings += ["yi", "yu"] if link else []
            found += [name + ending for ending in endings]
    return " ".join(found)


_MONTH_SUFFIX = r"(?:'?(?:[dt][ae]n?|[iu]n|[ae]|[iu]))?"

TURKISH = LocalLanguage(
    Tables(
        tag="tr",
        name="Turkish",
        numbers=NumberWords(
            spelled=_spelled(),
            scales={"bin": 10**3, "milyon": 10**6, "mn": 10**6, "milyar": 10**9, "mlr": 10**9, "trilyon": 10**12},
            # "One" is the article, "ten" an English preposition, "six" also "under", "hundred" also "face"; there are
            # Captain Kirk and the bin.
            never_alone=frozenset({"bir", "on", "alti", "yuz", "kirk", "bin"}),
            bare_scales=frozenset({"bin"}),
            half_of="yarim",
            and_half="bucuk",
        ),
        months=(
            "ocak oca",
            "subat sub",
            "mart mar",
            "nisan nis",
            "mayis may",
            "haziran haz",
            "temmuz tem",
            "agustos agu",
            "eylul eyl",
            "ekim eki",
            "kasim kas",
            "aralik ara",
        ),
        weekdays="pazartesi pazar sali carsamba persembe cumartesi cuma",
        date_after_day=r"\.?",
        date_end=_MONTH_SUFFIX,
        date_separators="./",
        times=(
            r"(?:saat )?(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?= (?:sular|civar))",
            r"(?:(?P<am>sabah(?:leyin)?)|(?P<pm>aksam|ogleden sonra)|(?P<night>gece)) (?:saat )?(?P<hour>\d{1,2})"
            r"(?:[:.](?P<minute>\d{2}))",
            r"(?:(?P<am>sabah(?:leyin)?)|(?P<pm>aksam|ogleden sonra)|(?P<night>gece)) saat (?P<hour>\d{1,2})",
            r"(?<!\d )(?<!\w )saat (?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2}))?(?! (?:dakika|dk|saniye))",
        ),
        units={symbol: _inflected(names) for symbol, names in _UNITS.items()},
        yes=r"evet|dogru|dogrudur",
        no=r"hayir|yanlis|degil",
        unknown=(
            r"\bbelirtilm(?:emis|iyor)|\bbelirtilmedi|\bbelirsiz(?:dir)?\W*$|\bbilinm(?:iyor|emektedir)|^\W*bilmiyorum"
            r"|\bbilgi (?:yok|verilm|bulunm)|\bbahsedilm(?:iyor|emis)|\bsoylenm(?:iyor|emis)|\byer almiyor"
            r"|\bbelirtmiyor|\bbahsetmiyor|\bsoylemiyor|\bcevap yok|\bcevaplan(?:amaz|amiyor)|^\W*yok\W*$"
        ),
        conflict=(
            r"\bcelis\w*|\bbirbirini (?:tutmuyor|tutmamakta)|\bayni fikirde degil|\bfarkli (?:bilgi|cevap"
            r"|yanit|sayi)"
            r"|\buyusmuyor|\btutarsiz|\bbir kaynak\b.*\bdiger(?:i| kaynak)"
        ),
        no_conflict=(
            r"\bceli(?:smiyor|smemekte|sen bir|sme(?:k)?sizin)|\bceliski(?:li|si)? (?:yok|bulunm|bulunam|degil"
            r"|gorulm|gorunm|gorem|tespit edilm|saptanm|fark edilm)"
            r"|\btutarsiz(?:lik)? (?:yok|degil|bulunm)|\bceliskisiz|\bcelik\b"
        ),
        asks_number=(
            r"\bkac(?:i|inci|ta|tir)?\b|\bne kadar\b|\bne zaman\b|\bhangi (?:yil|tarih|gun|ay|sayi|saat)|\byuzde kac"
            r"|\bsaat kacta"
        ),
        function_words="""
            bir bu su o ve ile de da ki mi mu icin gibi olan olarak olmak oldu olup var yok ise ya cok her daha
            yaklasik toplam tam tarafindan onun onlar biz siz ben sen ne hangi kim nerede nasil kac vardir idi dir
            dur tur gore adet tane civarinda yani cevap kaynak kaynaga metne gore
        """,
        telling="fazla az once sonra degil sadece en yuzde saat kadar beri itibaren",
        prompt_text=PromptText(
            preamble="İşte bazı kaynaklar.\n\n",
            tasks={
                Prompt.STANDARD: "\n\nYukarıdaki tüm kaynakları kullanarak şu soruyu Türkçe yanıtla.\n{question}",
                Prompt.INSTRUCTED: (
                    "\n\nYukarıdaki tüm kaynakları kullanarak şu soruyu Türkçe yanıtla. "
                    "Kaynaklar birbiriyle çelişiyorsa çelişkiyi bildir.\n{question}"
                ),
                Prompt.EXPLICIT: (
                    '\n\nYukarıdaki kaynakların her biri "{question}" sorusuna aynı yanıtı verir mi? '
                    "Türkçe olarak evet ya da hayır de, sonra açıkla."
                ),
            },
            alone_task="\n\nSoru: {question}\nTürkçe yanıtla.",
            alone_opening="Kısa yanıt:",
        ),
        ordinal=r"\. (?=[a-z])|'?[iu]?nci\b",
        ranges=("# il[ae] #",),
        fraction=r"(?:ucte|dortte|beste|yarisi)\b",
        but="ama|fakat|ancak|oysa",
        when="yil|sene",
        minus="eksi",
        unread=r"\bsaat (?:\S+ ){1,2}bucuk|\bceyrek|\bduzine|\bsifirin alt"
        rf"|\b(?:{_COUNTING}) (?:{_COUNTING}|dord)[iu]?nc[iu]\b",
        rewrites=(
            (r"(?<!\w)(?:(\d{1,2})'[dt][ae]|(ucte|dortte|beste|yedide|sekizde|onda)) (?=\w)", "\\1\\2_"),
            (r"(?<![\w.,:/-])([12]\d{3})(?:'[dt][ae] | (?:yilinda|senesinde) )", "in \\1 "),
            # A suffix behind an apostrophe belongs to the grammar, not to the number or name: "2021'de", "Ankara'da".
            (rf"(?<=[\d%]){_SUFFIX}", ""),
            (rf"(?<=[^\W\d_]){_SUFFIX}", ""),
            # Without its ending, which hides it: "iki binden fazla", "yirmi beşi".
            (rf"(?<!\w)((?:\d[\d.,]*|{_COUNTING}) (?:{_COUNTING})){_CASE}", "\\1"),
            (rf"(?<!\w)((?:\d[\d.,]*|{_COUNTING}) )dord(?:[eu]|un)(?!\w)", "\\1dort"),
        ),
        rewrites_of_numbers=(
            (r"%\s?(\d+(?:\.\d+)?)", "\\1%"),
            (r"\byuzde (\d+(?:\.\d+)?)", "\\1%"),
            (r"\bsaatte (\d+(?:\.\d+)?) (?:kilometre|km)\b", "\\1 km/h"),
        ),
        signs={"TL": "try"},
        abbreviations="vb vs sn yy dr prof alb gen hz",
    )
)


@hookimpl
def xmguard_languages() -> Iterable[Language]:
    """Turkish."""
    return [TURKISH]
