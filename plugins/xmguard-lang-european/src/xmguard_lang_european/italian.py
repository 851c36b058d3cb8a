"""Italian."""

from __future__ import annotations

from xmguard.languages.local import NumberWords, Tables
from xmguard.prompt_text import PromptText
from xmguard.request import Prompt

_SMALL = """
    zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici
    diciassette diciotto diciannove
"""
_TENS = "venti trenta quaranta cinquanta sessanta settanta ottanta novanta"


def _spelled() -> dict[str, int]:
    """0 to 999; a vowel is lost before "uno" and "otto", and sometimes before "ottanta"."""
    small = {word: n for n, word in enumerate(_SMALL.split())} | {"un": 1, "una": 1}
    below = dict(small)
    for tens, word in enumerate(_TENS.split(), 2):
        below |= {word: 10 * tens, f"{word[:-1]}un": 10 * tens + 1}
        for one, n in small.items():
            if 0 < n < 10:
                below[(word[:-1] if one[0] in "uo" else word) + one] = 10 * tens + n
    found = dict(below)
    for hundreds in range(1, 10):
        hundred = f"{'' if hundreds == 1 else _SMALL.split()[hundreds]}cento"
        found[hundred] = 100 * hundreds
        for word, n in below.items():
            if n:
                found[hundred + word] = 100 * hundreds + n
                if word[0] in "uo":
                    found[hundred[:-1] + word] = 100 * hundreds + n
    return found


ITALIAN = Tables(
    tag="it",
    name="Italian",
    numbers=NumberWords(
        spelled=_spelled(),
        scales={
            **dict.fromkeys(("mille", "mila"), 10**3),
            **dict.fromkeys(("milione", "milioni", "mln"), 10**6),
            **dict.fromkeys(("miliardo", "miliardi", "mld"), 10**9),
            **dict.fromkeys(("bilione", "bilioni"), 10**12),
            **dict.fromkeys(("trilione", "trilioni"), 10**18),
        },
        joiner="e",
        never_alone=frozenset({"un", "una", "uno", "due", "sei", "cento"}),  # articles, an English adjective, "you are"
        bare_scales=frozenset({"mille"}),
        half_of="mezzo|mezza",
        and_half="e mezz[oa]",
        glued="mila|mille",
    ),
    months=(
        "gennaio gen",
        "febbraio feb",
        "marzo mar",
        "aprile apr",
        "maggio mag",
        "giugno giu",
        "luglio lug",
        "agosto ago",
        "settembre set",
        "ottobre ott",
        "novembre nov",
        "dicembre dic",
    ),
    weekdays="lunedi martedi mercoledi giovedi venerdi sabato domenica",
    date_after_day=r"[o°]?",
    date_between=r"\s+(?:del\s+)?",
    date_separators="/.-",
    times=(
        r"(?:(?:alle(?: ore)?|ore|le) )?(?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2}))?"
        r"(?:(?P<am> d(?:i|el) (?:mattina|mattino))|(?P<pm> (?:di sera|del pomeriggio))|(?P<night> di notte))",
        r"(?<!\d )(?:alle(?: ore)?|ore) (?P<hour>\d{1,2})[:.](?P<minute>\d{2})",
        r"(?<!\d )\b(?:alle(?: ore)?|ore) (?P<hour>\d{1,2})(?=\W*$|[^\w ]| (?:in|a|del|di|e|circa|fino|al)\b)",
    ),
    units={
        "%": "per_cento percento punti_percentuali",
        "km": "chilometri chilometro",
        "m": "metri metro",
        "cm": "centimetri centimetro",
        "mm": "millimetri millimetro",
        "mi": "miglia miglio",
        "in": "pollici pollice",
        "ft": "piedi piede",
        "yd": "iarde iarda",
        "g": "grammi grammo",
        "mg": "milligrammi milligrammo",
        "kg": "chilogrammi chilogrammo chili chilo",
        "t": "tonnellate tonnellata tonnellate_metriche tonnellata_metrica",
        "lb": "libbre libbra",
        "oz": "once oncia",
        "l": "litri litro",
        "ml": "millilitri millilitro",
        "s": "secondi sec",
        "min": "minuti minuto",
        "h": "ore ora",
        "day": "giorni giorno",
        "week": "settimane settimana",
        "month": "mesi mese",
        "year": "anni anno",
        "m2": "metri_quadrati metro_quadrato metri_quadri",
        "km2": "chilometri_quadrati chilometro_quadrato",
        "mi2": "miglia_quadrate miglio_quadrato",
        "ha": "ettari ettaro",
        "acre": "acri acro ac",
        "km/h": "chilometri_orari chilometro_orario chilometri_all'ora",
        "mph": "miglia_all'ora miglio_all'ora mi/h miglia_orarie",
        "°c": "gradi_celsius grado_celsius gradi_centigradi",
        "°f": "gradi_fahrenheit grado_fahrenheit",
        "w": "watt",
        "kw": "kilowatt chilowatt",
        "mw": "megawatt",
        "person": "persone persona",
        "usd": "dollari dollaro dollari_statunitensi",
        "eur": "euro",
        "gbp": "sterline sterlina",
        "try": "lire_turche lira_turca",
        "isk": "corone_islandesi",
        "cny": "yuan",
        "jpy": "yen",
    },
    yes=r"si|vero|corretto|esatto",
    no=r"no|falso|errato|scorretto",
    unknown=(
        r"\bnon (?:lo )?(?:si )?(?:dice|menziona|specifica|indica|sa|conosce|precisa|fornisce|riporta)(?:no)?\b"
        r"|\bnon (?:e|viene|vengono|sono|e stat[oa]) (?:stat[oa] )?(?:menzionat|specificat|indicat|not[oa]|chiar|dett"
        r"|possibile|riportat|precisat)|^\W*(?:io )?non (?:lo )?so\b|(?:^|\b(?:e|sono|resta"
        r"|rimane) )\W*sconosciut[oaie]\W*$|\bnon (?:ci sono|c'e) "
        r"(?:nessuna )?(?:informazion|rispost)|\bnessuna informazion"
    ),
    conflict=(
        r"\bcontraddi\w*|\bcontraddizion\w*|\bdiscordan\w*|\bnon concordano|\bincompatibil\w*|\bin conflitto"
        r"|\bdiscrepan\w*|\bin disaccordo|\buna fonte\b.*\bl'altra\b"
    ),
    no_conflict=(
        r"\bnon (?:(?:si|ci|vi|sono|c'e|e|alcuna|nessuna|sembrano|sembra|trovo|vedo|risultano|emergono|evidenti"
        r"|chiare) ){0,5}(?:contraddi|discordan|incompatib"
        r"|in conflitto|discrep"
        r"|in disaccordo)|\bsenza (?:contraddi|discrep)|\b(?:nessuna|alcuna) (?:contraddi|discrep)"
    ),
    asks_number=(
        r"\bquant[oaie]\b|\bquanto\b|\bquando\b|\b(?:in )?(?:che|quale) (?:anno|data|giorno|mese|ora|secolo|eta|numero"
        r"|percentuale)\b"
    ),
    function_words="""
        il lo la i gli le un uno una di del dello della dei degli delle a al allo alla ai agli alle da dalla in
        nel nella nei nelle su sul sulla e ed o che sono fu era erano stato stata essere ha hanno aveva con per come
        si suo sua loro questo questa quello quella circa quasi esattamente totale anche molto gia quale
        quali chi dove quando quanto quanta quanti quante perche se risposta fonte fonti testo secondo
    """,
    telling="piu meno sopra sotto fino dal tra fra prima dopo non solo oltre",
    unit_link="(?:di )?",
    prompt_text=PromptText(
        preamble="Ecco alcune fonti.\n\n",
        tasks={
            Prompt.STANDARD: "\n\nUsando tutte le fonti qui sopra, rispondi a questa domanda in italiano.\n{question}",
            Prompt.INSTRUCTED: (
                "\n\nUsando tutte le fonti qui sopra, rispondi a questa domanda in italiano. "
                "Se le fonti si contraddicono, segnala la contraddizione.\n{question}"
            ),
            Prompt.EXPLICIT: (
                '\n\nCiascuna delle fonti qui sopra porterebbe alla stessa risposta alla domanda "{question}"? '
                "Rispondi sì o no in italiano, poi spiega."
            ),
        },
        alone_task="\n\nDomanda: {question}\nRispondi in italiano.",
        alone_opening="Risposta breve:",
    ),
    ranges=("(?:tra|fra) # e #", "(?<!da )# a #"),
    fraction=r"(?:terz[oi]|quart[oi]|quint[oi]|sest[oi]|settim[oi]|ottav[oi]|non[oi]|decim[oi]|centesim[oi]|meta)\b",
    but="ma|pero|anche se|sebbene|mentre",
    when="nel|nell'anno|nell' anno",
    minus=r"(?<!\blo )(?<!\bo )(?<!\bquanto )meno",
    unread=r"\b(?:alle|ore|le) (?:\S+ ){1,2}e (?:mezz[oa]|tre quarti)\b|\b(?:e|meno) un quarto\b|\bdozzin[ae]\b"
    r"|\bdecin[ae]\b"
    r"|\bcentinai[ao]\b|\bmigliai[ao]\b|\bsotto (?:lo )?zero\b",
    abbreviations="sig sigg dott dr prof avv ing ecc pag es",
)
