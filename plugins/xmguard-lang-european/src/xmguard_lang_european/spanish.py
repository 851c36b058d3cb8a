"""Spanish."""

from __future__ import annotations

from xmguard.languages.local import NumberWords, Tables
from xmguard.prompt_text import PromptText
from xmguard.request import Prompt

_SMALL = """
    cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis diecisiete
    dieciocho diecinueve veinte veintiuno veintidos veintitres veinticuatro veinticinco veintiseis veintisiete
    veintiocho veintinueve
"""
_TENS = "treinta cuarenta cincuenta sesenta setenta ochenta noventa"
_HUNDREDS = "doscient trescient cuatrocient quinient seiscient setecient ochocient novecient"


def _spelled() -> dict[str, int]:
    """0 to 999, in both genders, apart and (as is allowed since 2010) together."""
    below = {word: n for n, word in enumerate(_SMALL.split())}
    below |= {"un": 1, "una": 1, "veintiun": 21, "veintiuna": 21}
    ones = {word: n for word, n in below.items() if 0 < n < 10}
    for tens, word in enumerate(_TENS.split(), 3):
        below[word] = 10 * tens
        below |= {f"{word}y{one}": 10 * tens + n for one, n in ones.items()}
    found = below | {"cien": 100, "ciento": 100} | {f"ciento{word}": 100 + n for word, n in below.items() if n}
    for hundreds, stem in enumerate(_HUNDREDS.split(), 2):
        for hundred in (f"{stem}os", f"{stem}as"):
            found[hundred] = 100 * hundreds
            found |= {hundred + word: 100 * hundreds + n for word, n in below.items() if n}
    return found


SPANISH = Tables(
    tag="es",
    name="Spanish",
    numbers=NumberWords(
        spelled=_spelled(),
        scales={
            "mil": 10**3,
            **dict.fromkeys(("millon", "millones"), 10**6),
            **dict.fromkeys(("millardo", "millardos"), 10**9),
            **dict.fromkeys(("billon", "billones"), 10**12),
            **dict.fromkeys(("trillon", "trillones"), 10**18),
        },
        never_alone=frozenset({"un", "una", "uno", "ciento", "once"}),  # articles, and an English adverb
        bare_scales=frozenset({"mil"}),
        half_of="medio|media",
        and_half="y medi[oa]",
    ),
    months=(
        "enero ene",
        "febrero feb",
        "marzo mar",
        "abril abr",
        "mayo may",
        "junio jun",
        "julio jul",
        "agosto ago",
        "septiembre setiembre sept sep",
        "octubre oct",
        "noviembre nov",
        "diciembre dic",
    ),
    weekdays="lunes martes miercoles jueves viernes sabado domingo",
    date_after_day=r"\.?[o°]?",
    date_between=r"(?:\s+del?)?\s+",
    date_separators="/.-",
    times=(
        r"(?:a )?las? (?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2}))?(?: ?h(?:oras)?)?"
        r"(?:(?P<am> (?:am|de la (?:manana|madrugada)))|(?P<pm> (?:pm|de la tarde))|(?P<night> de la noche))",
        r"(?:a )?las? (?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?: ?h(?:oras)?)?",
        r"\b(?:a|son) las? (?P<hour>\d{1,2})(?: ?h(?:oras)?)?(?=\W*$|[^\w ]| (?:en|el|del|y|hasta)\b)",
        r"(?P<hour>\d{1,2}) (?:(?P<am>de la madrugada)|(?P<night>de la noche))",
        r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2}) ?(?:h|horas)",
    ),
    units={
        "%": "por_ciento porciento por_cien puntos_porcentuales",
        "km": "kilometros kilometro",
        "m": "metros metro",
        "cm": "centimetros centimetro",
        "mm": "milimetros milimetro",
        "mi": "millas milla",
        "in": "pulgadas pulgada",
        "ft": "pies",
        "yd": "yardas yarda",
        "g": "gramos gramo",
        "mg": "miligramos miligramo",
        "kg": "kilogramos kilogramo kilos kilo",
        "t": "toneladas tonelada",
        "oz": "onzas onza",
        "l": "litros litro",
        "ml": "mililitros mililitro",
        "s": "segundos seg",
        "min": "minutos minuto",
        "h": "horas hora",
        "day": "dias dia",
        "week": "semanas semana sem",
        "month": "meses mes",
        "year": "anos ano",
        "m2": "metros_cuadrados metro_cuadrado",
        "km2": "kilometros_cuadrados kilometro_cuadrado",
        "mi2": "millas_cuadradas milla_cuadrada",
        "ha": "hectareas hectarea",
        "acre": "acres acre ac",
        "km/h": "kilometros_por_hora kilometro_por_hora",
        "mph": "millas_por_hora milla_por_hora mi/h",
        "°c": "grados_celsius grado_celsius grados_centigrados",
        "°f": "grados_fahrenheit grado_fahrenheit",
        "w": "vatios vatio",
        "kw": "kilovatios kilovatio",
        "mw": "megavatios megavatio",
        "person": "personas persona",
        "usd": "dolares dolar dolares_estadounidenses",
        "eur": "euros euro",
        "gbp": "libras_esterlinas libra_esterlina",
        "try": "liras_turcas lira_turca",
        "isk": "coronas_islandesas",
        "cny": "yuanes yuan",
        "jpy": "yenes yen",
        "cent": "centavos centavo centimos centimo",
        "brl": "reales_brasilenos",
    },
    yes=r"si|cierto|verdadero|correcto|afirmativo",
    no=r"no|falso|incorrecto",
    unknown=(
        r"\bno (?:se )?(?:lo )?(?:dice|menciona|especifica|indica|sabe|conoce|informa|aclara|precisa"
        r"|proporciona|sabe)n?\b"
        r"|\bno (?:esta|es|fue|ha sido) (?:mencionad|especificad|indicad|conocid|claro|posible)"
        r"|^\W*(?:yo )?no (?:lo )?se\W*$"
        r"|(?:^|\b(?:es|son|esta|sigue siendo|permanece|resulta) )\W*desconocid[oa]s?\W*$|\bno (?:hay|existe"
        r"|contiene|da) (?:ninguna )?(?:informacion|respuesta)"
        r"|\bsin informacion"
        r"|\bninguna informacion|\bno se puede (?:determinar|saber|responder)"
    ),
    conflict=(
        r"\bcontradi\w*|\bdiscrepa\w*|\bno coinciden|\bse oponen|\bincompatib\w*|\ben conflicto|\bdiscrepancia"
        r"|\buna fuente\b.*\botra\b|\bfuentes\b.*\bdifieren|\binformacion contradictoria"
    ),
    no_conflict=(
        r"\bno (?:(?:se|me|hay|existen?|son|es|estan|parecen?|encuentro|encontr\w+|veo|ven|observ\w+|detect\w+"
        r"|aprecia\w*|ninguna"
        r"|una|alguna|claras?|evidentes?|estar|ser|haber) ){0,5}(?:contradi|discrepan|incompatib|en conflicto)"
        r"|\bsin (?:contradi|discrepan)|\bninguna (?:contradi|discrepan)"
    ),
    asks_number=(
        r"\bcuant[oa]s?\b|\bcuando\b|\b(?:en )?que (?:ano|fecha|dia|mes|hora|siglo|edad|porcentaje|numero)\b"
        r"|\ba que hora"
    ),
    function_words="""
        el la los las lo un una unos unas de del al a en y o u e que es son fue fueron era eran ser esta estan
        estaba hay habia ha han se su sus por para con como le les este esta esto estos estas ese esa eso
        aproximadamente cerca unos alrededor casi exactamente total tambien muy ya cual cuales quien donde
        cuando cuanto cuanta cuantos cuantas porque si respuesta fuente fuentes texto segun
    """,
    telling="mas menos sobre hasta desde entre antes despues no solo",
    unit_link="(?:de )?",
    prompt_text=PromptText(
        preamble="Aquí hay algunas fuentes.\n\n",
        tasks={
            Prompt.STANDARD: (
                "\n\nUsando todas las fuentes anteriores, responde a esta pregunta en español.\n{question}"
            ),
            Prompt.INSTRUCTED: (
                "\n\nUsando todas las fuentes anteriores, responde a esta pregunta en español. "
                "Si las fuentes se contradicen, informa de la contradicción.\n{question}"
            ),
            Prompt.EXPLICIT: (
                '\n\n¿Llevaría cada una de las fuentes anteriores a la misma respuesta a la pregunta "{question}"? '
                "Responde sí o no en español y luego explica."
            ),
        },
        alone_task="\n\nPregunta: {question}\nResponde en español.",
        alone_opening="Respuesta breve:",
    ),
    ranges=("entre # y #", "(?<!de )# a #"),
    fraction=r"(?:tercios?|cuartos?|quintos?|sextos?|septimos?|octavos?|novenos?|decimos?|centesimos?|mitad)\b",
    but="pero|aunque|sin embargo|mientras que",
    when="en|en el ano|el ano|del ano",
    minus=r"(?<!\bal )(?<!\blo )(?<!\bo )menos",
    unread=r"\blas? (?:\S+ ){1,2}y (?:media|cuarto)\b|\b(?:menos|y) cuarto\b|\bdocenas?\b|\b(?:dec|cent)enas?\b"
    r"|\bmillar(?:es)?\b|\bbajo cero\b",
    signs={"US$": "usd", "$": "usd"},
    abbreviations="sr sra srta dr dra ud uds p ej etc",
)
