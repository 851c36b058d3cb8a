"""Icelandic for xmguard: its tables, for the engine of `xmguard.languages.local`. Knows nothing of other languages."""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.contracts import Language
from xmguard.hookspecs import hookimpl
from xmguard.languages.local import LocalLanguage, NumberWords, Tables
from xmguard.prompt_text import PromptText
from xmguard.request import Prompt

_ONES = (
    ("null",),
    ("einn", "ein", "eitt", "einum", "einu", "eina", "eins", "einnar", "einni"),
    ("tveir", "tvær", "tvo", "tveimur", "tveggja"),
    ("þrir", "þrja", "þrjar", "þrju", "þremur", "þriggja"),
    ("fjorir", "fjorar", "fjogur", "fjora", "fjorum", "fjogurra"),
    *((word,) for word in ["fimm", "sex", "sjo", "atta", "niu"]),
)
_TEENS = ["tiu", "ellefu", "tolf", "þrettan", "fjortan", "fimmtan", "sextan", "sautjan", "atjan", "nitjan"]
_TENS = ["tuttugu", "þrjatiu", "fjorutiu", "fimmtiu", "sextiu", "sjotiu", "attatiu", "niutiu"]


def _spelled() -> dict[str, int]:
    """0 to 999, with "og" before the last word."""
    below = {word: n for n, words in enumerate(_ONES) for word in words}
    below |= {word: n for n, word in enumerate(_TEENS, 10)}
    for tens, word in enumerate(_TENS, 2):
        below[word] = 10 * tens
        below |= {f"{word}og{one}": 10 * tens + n for n in range(1, 10) for one in _ONES[n]}
    found = dict(below)
    for hundreds in range(1, 10):
        for one in ("", "eitt") if hundreds == 1 else _ONES[hundreds]:
            for hundred in ("hundrað", "hundruð", "hundruðum", "hundraða"):
                found[one + hundred] = 100 * hundreds
                for word, n in below.items():
                    if n:
                        found[f"{one}{hundred}{word}"] = found[f"{one}{hundred}og{word}"] = 100 * hundreds + n
    return found


ICELANDIC = LocalLanguage(
    Tables(
        tag="is",
        name="Icelandic",
        numbers=NumberWords(
            spelled=_spelled(),
            scales={
                "þusund": 10**3,
                "þus": 10**3,
                **dict.fromkeys(("milljon", "milljonir", "milljona", "milljonum", "milljonar", "millj", "mkr"), 10**6),
                **dict.fromkeys(
                    ("milljarður", "milljarðar", "milljarða", "milljarði", "milljorðum", "milljarð"), 10**9
                ),
                **dict.fromkeys(("billjon", "billjonir", "billjona"), 10**12),
                **dict.fromkeys(("trilljon", "trilljonir", "trilljona"), 10**18),
            },
            joiner="og",
            # "One" often only means a certain one; the others are English words.
            never_alone=frozenset({*_ONES[1], "sex", "null"}),
            bare_scales=frozenset({"þusund"}),
            half_of="half|halfa|halfri|halfur",
            and_half="og half(?:a|ur|t|ri)?",
        ),
        months=(
            "januar jan",
            "februar feb",
            "mars mar",
            "april apr",
            "mai",
            "juni jun",
            "juli jul",
            "agust agu",
            "september sept sep",
            "oktober okt",
            "november nov",
            "desember des",
        ),
        weekdays=(
            "manudagur þriðjudagur miðvikudagur fimmtudagur fostudagur laugardagur sunnudagur manudaginn þriðjudaginn "
            "miðvikudaginn fimmtudaginn fostudaginn laugardaginn sunnudaginn"
        ),
        date_after_day=r"\.?",
        date_between=r"\s+(?:arið\s+)?",
        date_separators=".",
        times=(r"(?:kl\.?|klukkan) ?(?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2}))?",),
        units={
            "%": "prosent prosenta prosentum prosentustig",
            "km": "kilometrar kilometri kilometra kilometrum kilometer",
            "m": "metrar metri metra metrum",
            "cm": "sentimetrar sentimetri sentimetra sentimetrum",
            "mm": "millimetrar millimetri millimetra millimetrum",
            "mi": "milur mila milum mi",
            "in": "tommur tomma tommum tommu",
            "ft": "fet fetum feta",
            "yd": "yardar yard yarda",
            "g": "gromm gramm grommum gramma",
            "mg": "milligromm milligramm",
            "kg": "kilogromm kilogramm kilo kiloum kiloa",
            "t": "tonn tonnum tonna tn",
            "oz": "unsur unsa unsum",
            "l": "litrar litri litra litrum",
            "ml": "millilitrar millilitri millilitra",
            "s": "sekundur sekunda sekundum sekundna sek",
            "min": "minutur minuta minutum minutna min",
            "h": "klukkustundir klukkustund klukkustundum klukkustunda klst timar timi tima timum",
            "day": "dagar dagur daga dogum",
            "week": "vikur vika vikum vikna viku",
            "month": "manuðir manuður manuðum manaða manuði",
            "year": "ar ara arum ars ara_gamall ara_gomul",
            "m2": "fermetrar fermetri fermetra fermetrum",
            "km2": "ferkilometrar ferkilometri ferkilometra ferkilometrum",
            "mi2": "fermilur fermila mi2",
            "ha": "hektarar hektari hektara hekturum",
            "acre": "ekrur ekra ek",
            "km/h": (
                "kilometrar_a_klukkustund kilometri_a_klukkustund kilometra_a_klukkustund kilometra_hraði km/klst "
                "km_a_klst"
            ),
            "mph": "milur_a_klukkustund mila_a_klukkustund milur/klst mi/klst",
            "°c": "graður_a_celsius graða_a_celsius graður_celsius gr_c",
            "°f": "graður_a_fahrenheit graða_a_fahrenheit graður_fahrenheit",
            "w": "vott vatt",
            "kw": "kilovott kilovatt",
            "mw": "megavott megavatt",
            "person": "manns menn manneskjur manneskja manna monnum einstaklingar einstaklinga",
            "isk": "kronur kronum krona islenskar_kronur islenskra_krona kr",
            "usd": "dalir dollarar dali dala bandarikjadalir bandarikjadala dollara dollurum",
            "eur": "evrur evra evrum",
            "gbp": "sterlingspund pund_sterling",
        },
        yes=r"ja|rett|satt|ju",
        no=r"nei|rangt|ekki satt|osatt",
        unknown=(
            r"\bekki (?:\w+ )?(?:tekið fram|nefnt|getið|gefið upp|vitað|ljost|minnst|kunnugt|tilgreint|sagt)"
            r"|\b(?:kemur|kom) (?:það )?ekki fram|^\W*veit (?:það )?ekki|^\W*eg veit (?:það )?ekki|\boþekkt\W*$"
            r"|\bovist\W*$|\bengar upplysingar|\bsegir ekki|\bnefnir ekki|\bekkert svar"
        ),
        conflict=(
            r"\bmotsogn|\bmotsagna|\bstangast a|\ber(?:u)? osammala|\bosamræmi|\bber ekki saman"
            r"|\bmismunandi (?:svor|tolur|upplysingar)|\bonnur heimildin\b.*\bhin\b"
        ),
        no_conflict=(
            r"\bengin(?:n)? (?:motsogn|motsagn)|\bekkert osamræmi|\bstangast ekki|\bekki (?:i )?motsogn|\ban motsagna"
            r"|\bekki motsagna|\beru ekki osammala"
        ),
        asks_number=(
            r"\bhversu (?:mikið|mikil|margir|margar|morg|margt|lengi|gamall|gomul|langur|long|langt|stor)"
            r"|\bhve (?:mikið|margir|margar|morg|lengi|gamall|gomul)|\bhvenær\b"
            r"|\bhvaða (?:ar|ari|dag|degi|manuð|tala|tolu)|\bklukkan hvað"
        ),
        function_words="""
            og i a er var að sem af en um við með það hann hun þeir þær þau þess þetta þessi voru eru
            hefur hafa hafði vera verið eða svo lika einnig þar her ur upp inn hver hvað hvar hvernig hvort alls
            samtals nakvæmlega eitt ein einn ca svarið svar heimild heimildir texti
        """,
        telling="yfir undir milli fyrir eftir ekki aðeins minnst mest meira minna fra til siðan arið kl klukkan",
        prompt_text=PromptText(
            preamble="Hér eru nokkrar heimildir.\n\n",
            tasks={
                Prompt.STANDARD: "\n\nSvaraðu þessari spurningu á íslensku út frá öllum heimildunum hér að ofan.\n"
                "{question}",
                Prompt.INSTRUCTED: (
                    "\n\nSvaraðu þessari spurningu á íslensku út frá öllum heimildunum hér að ofan. "
                    "Ef heimildirnar stangast á skaltu segja frá því.\n{question}"
                ),
                Prompt.EXPLICIT: (
                    '\n\nMyndi hver af heimildunum hér að ofan leiða til sama svars við spurningunni "{question}"? '
                    "Svaraðu já eða nei á íslensku og útskýrðu svo."
                ),
            },
            alone_task="\n\nSpurning: {question}\nSvaraðu á íslensku.",
            alone_opening="Stutt svar:",
        ),
        ordinal=r"\. (?=[^\W\d_])",
        ranges=("milli # og #", "# til #"),
        fraction=r"(?:þriðju|fjorðu|fimmtu|sjottu|attundu|tiundu|hluta\w*|hlutar)\b",
        but="en|þott|þo að",
        minus="minus",
        unread=r"\b(?:stiga|graðu) frost|\bnokkur (?:hundruð|þusund)"
        r"|\btylft\w*|\bkorter\w*|\bhalf (?:eitt|tvo|þrju|fjogur|fimm|sex|sjo|atta|niu|tiu|ellefu|tolf|\d)",
        when="arið|ariðs|a arinu",
        rewrites=(
            (r"(?<=\d) t\.(?!\w)", "_t."),  # inches for the CLDR, tonnes for everybody else
            (r"(?<=\d) ?m\.? ?kr\b\.?", " millj kr"),
            (r"(?<=\d) ?ma\.? ?kr\b\.?", " milljarða kr"),
        ),
        abbreviations="o s frv þ e a s m bls kl nr skv sbr t d ca dr hr frk",
        signs={"kr.": "isk", "kr": "isk"},
    )
)


@hookimpl
def xmguard_languages() -> Iterable[Language]:
    """Icelandic."""
    return [ICELANDIC]
