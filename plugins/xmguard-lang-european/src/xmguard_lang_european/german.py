"""German."""

from __future__ import annotations

from xmguard.languages.local import NumberWords, Tables
from xmguard.prompt_text import PromptText
from xmguard.request import Prompt

_SMALL = """
    null eins zwei drei vier funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn sechzehn siebzehn
    achtzehn neunzehn
"""
_TENS = ("zwanzig", "dreißig", "vierzig", "funfzig", "sechzig", "siebzig", "achtzig", "neunzig")
_ARTICLES = dict.fromkeys(["ein", "eine", "einem", "einen", "einer"], 1)


def _spelled() -> dict[str, int]:
    """0 to 999, written together, with the ß that the Swiss do without."""
    small = {word: n for n, word in enumerate(_SMALL.split())} | {"zwo": 2}
    below = small | _ARTICLES
    for tens, word in enumerate(_TENS, 2):
        for spelling in (word, word.replace("ß", "ss")):
            below[spelling] = 10 * tens
            below |= {f"{one}und{spelling}": 10 * tens + n for one, n in small.items() if 1 < n < 10}
            below[f"einund{spelling}"] = 10 * tens + 1
    found = dict(below)
    for hundreds in range(1, 10):
        for one in ("", "ein") if hundreds == 1 else (_SMALL.split()[hundreds],):
            hundred = f"{one}hundert"
            found[hundred] = 100 * hundreds
            for word, n in below.items():
                if n:
                    found[hundred + word] = found[f"{hundred}und{word}"] = 100 * hundreds + n
    return found


GERMAN = Tables(
    tag="de",
    name="German",
    numbers=NumberWords(
        spelled=_spelled(),
        scales={
            **dict.fromkeys(("tausend", "tsd"), 10**3),
            **dict.fromkeys(("million", "millionen", "mio"), 10**6),
            **dict.fromkeys(("milliarde", "milliarden", "mrd"), 10**9),
            "billionen": 10**12,
            # A million millions and a million more, but a thousand millions and a thousand more in English.
            **dict.fromkeys(("billion", "trillion", "trillionen"), 0),
        },
        joiner="und",
        never_alone=frozenset({*_ARTICLES, "null"}),
        bare_scales=frozenset({"tausend"}),
        half_of="eine halbe|einer halben|halbe",
        and_half="einhalb|und eine? halbe[srnm]?",
        glued="tausend",
    ),
    months=(
        "januar janner jan",
        "februar feber feb",
        "marz",
        "april apr",
        "mai",
        "juni jun",
        "juli jul",
        "august aug",
        "september sept sep",
        "oktober okt",
        "november nov",
        "dezember dez",
    ),
    weekdays="montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag",
    date_after_day=r"\.?",
    date_end="s?",
    date_separators=".",
    times=(
        r"(?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2}))? uhr(?! \d)(?:(?P<am> (?:morgens|fruh|vormittags))"
        r"|(?P<pm> (?:abends|nachmittags))|(?P<night> nachts))?",
        r"(?P<hour>\d{1,2}) uhr (?P<minute>\d{2})",
    ),
    units={
        "%": "prozent v._h. prozentpunkte",
        "km": "kilometer kilometern",
        "m": "meter metern",
        "cm": "zentimeter zentimetern",
        "mm": "millimeter millimetern",
        "mi": "meilen meile",
        "in": "zoll",
        "ft": "fuß fuss",
        "yd": "yards yard",
        "g": "gramm",
        "mg": "milligramm",
        "kg": "kilogramm kilo kilos",
        "t": "tonnen tonne",
        "oz": "unzen unze",
        "l": "liter litern",
        "ml": "milliliter millilitern",
        "s": "sekunden sekunde sek",
        "min": "minuten minute",
        "h": "stunden stunde std",
        "day": "tage tag tagen tg",
        "week": "wochen woche",
        "month": "monate monat monaten mon",
        "year": "jahre jahr jahren jahres j",
        "m2": "quadratmeter quadratmetern qm",
        "km2": "quadratkilometer quadratkilometern qkm",
        "mi2": "quadratmeilen quadratmeile",
        "ha": "hektar",
        "acre": "acres acre ac",
        "km/h": "kilometer_pro_stunde kilometern_pro_stunde stundenkilometer stundenkilometern",
        "mph": "meilen_pro_stunde meile_pro_stunde mi/h",
        "°c": "grad_celsius grad_c",
        "°f": "grad_fahrenheit",
        "w": "watt",
        "kw": "kilowatt",
        "mw": "megawatt",
        "person": "personen person menschen leute",
        "usd": "dollar us-dollar",
        "eur": "euro euros",
        "gbp": "pfund_sterling",
        "try": "turkische_lira",
        "isk": "islandische_kronen",
        "cny": "yuan",
        "jpy": "yen",
    },
    yes=r"ja|jawohl|richtig|wahr|korrekt|stimmt",
    no=r"nein|falsch|unwahr|nicht",
    unknown=(
        r"\bnicht (?:explizit |genau |naher )?(?:angegeben|genannt|erwahnt|bekannt|klar|gesagt|bestimmbar"
        r"|beantwort\w*|zu"
        r" (?:sagen|entnehmen))|\bkeine (?:angaben?|informationen?|antwort)|^\W*(?:ich )?weiß (?:es )?(?:ich )?nicht"
        r"|\bunbekannt\W*$|\bunklar\W*$|\b(?:sagt|nennt|erwahnt|enthalt) (?:es |das |dies |dazu )?(?:nicht"
        r"|nichts|keine?)\b"
        r"|\blasst sich nicht (?:sagen|beantworten|bestimmen)|\bgeht (?:daraus |aus dem text )?nicht hervor"
    ),
    conflict=(
        r"\bwidersprech\w*|\bwiderspruch\w*|\bwiderspruchlich\w*|\bwiderspricht|\bunterscheiden sich|\bnicht uberein"
        r"|\bunvereinbar|\bunstimmig\w*|\bsind sich (?:nicht )?uneinig|\bnicht einig|\beine quelle\b.*\bandere\b"
    ),
    no_conflict=(
        r"\bkein(?:e|en|erlei)? (?:\w+ ){0,2}widerspr\w*|\bnicht zu widersprechen|\bwidersprech\w* (?:sich"
        r"|einander) nicht|\bnicht (?:im widerspruch|widerspr\w*)"
        r"|\bohne widerspr|\bwiderspruchsfrei|\bwidersprechen nicht|\bkeine unstimmig|\bunterscheiden sich nicht"
    ),
    asks_number=(
        r"\bwie ?(?:viele?|lange?|alt|gross|groß|weit|hoch|oft|schwer|teuer)\b|\bwann\b"
        r"|\b(?:welche[mnrs]?|welchem) (?:jahr|datum|tag|monat|uhrzeit|alter|anteil|zahl|jahrhundert)\b|\bum wie viel"
    ),
    function_words="""
        der die das den dem des ein eine einem einen einer eines und oder in im an am auf zu zum zur von vom mit bei
        fur als ist sind war waren wurde wurden werden wird sein hat haben hatte hatten es er sie wir ihr sich dass
        da so wie auch noch schon sehr etwa rund ungefahr circa ca genau insgesamt total dies diese dieser
        dieses hier dort wer was wo wann warum welche welcher welches wieviel viele wurde seine seiner ihre ihrer
        antwort quelle quellen text laut aus um
    """,
    telling="uber unter zwischen vor nach bis ab mehr weniger nicht nur mindestens hochstens seit fast je pro",
    prompt_text=PromptText(
        preamble="Hier sind einige Quellen.\n\n",
        tasks={
            Prompt.STANDARD: "\n\nBeantworte diese Frage auf Deutsch anhand aller obigen Quellen.\n{question}",
            Prompt.INSTRUCTED: (
                "\n\nBeantworte diese Frage auf Deutsch anhand aller obigen Quellen. "
                "Wenn die Quellen einander widersprechen, melde den Widerspruch.\n{question}"
            ),
            Prompt.EXPLICIT: (
                "\n\nWürde jede der obigen Quellen zur selben Antwort auf die Frage „{question}“ führen? "
                "Antworte auf Deutsch mit Ja oder Nein und erkläre es dann."
            ),
        },
        alone_task="\n\nFrage: {question}\nAntworte auf Deutsch.",
        alone_opening="Kurze Antwort:",
    ),
    ordinal=r"\. (?=[^\W\d_])",
    ranges=("zwischen # und #", "# bis #"),
    fraction=r"(?:drittel|viertel|funftel|sechstel|siebtel|achtel|neuntel|zehntel|hundertstel|halfte)\b",
    but="aber|jedoch|obwohl|doch|wahrend",
    when="im jahre?|anno|jahr",
    unread=r"\b(?:halb|viertel|dreiviertel) (?:(?:vor|nach) )?(?:\d|ein\b|eins|zwei|drei|vier|funf|sechs|sieben"
    r"|acht|neun|zehn|elf"
    r"|zwolf)|\bdutzend|\bunter null\b|\bgrad minus|\bminusgrad"
    r"|\beine[rs]? von (?:\d|drei|vier|funf|sechs|sieben|acht|neun|zehn|zwanzig|hundert)"
    r"|\b(?:mehrere|einige|paar|etliche|viele) (?:hundert|tausend)\b",
    rewrites=(
        (r"\b(?:anderthalb|eineinhalb)(?!\w)", "1,5"),
        (r"\b(zwei|drei|vier|funf|sechs|sieben|acht|neun|zehn)einhalb(?!\w)", "\\1 einhalb"),
    ),
    abbreviations="z b d h u a bzw ca evtl ggf usw nr bspw vgl sog inkl mio mrd tsd str",
)
