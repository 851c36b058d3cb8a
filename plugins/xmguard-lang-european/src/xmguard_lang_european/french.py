"""French."""

from __future__ import annotations

from xmguard.languages.local import NumberWords, Tables
from xmguard.prompt_text import PromptText
from xmguard.request import Prompt

_SMALL = """
    zero un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dixsept dixhuit
    dixneuf
"""
_TENS = {
    "vingt": 20,
    "trente": 30,
    "quarante": 40,
    "cinquante": 50,
    "soixante": 60,
    "septante": 70,
    "huitante": 80,
    "octante": 80,
    "nonante": 90,
}


def _spelled() -> dict[str, int]:
    """0 to 999, with the tens of France, Belgium and Switzerland."""
    small = {word: n for n, word in enumerate(_SMALL.split())} | {"une": 1}
    below = dict(small)
    for word, tens in _TENS.items():
        below |= {word: tens, f"{word}etun": tens + 1, f"{word}etune": tens + 1}
        below |= {word + one: tens + n for one, n in small.items() if 1 < n < 10}
    below |= {f"soixante{one}": 60 + n for one, n in small.items() if n > 9} | {"soixanteetonze": 71}
    below |= {"quatrevingts": 80, "quatrevingt": 80} | {f"quatrevingt{one}": 80 + n for one, n in small.items() if n}
    found = dict(below)
    for hundreds in range(1, 10):
        hundred = f"{'' if hundreds == 1 else _SMALL.split()[hundreds]}cent"
        found |= {hundred: 100 * hundreds} | {hundred + word: 100 * hundreds + n for word, n in below.items() if n}
        if hundreds > 1:
            found[f"{hundred}s"] = 100 * hundreds
    return found


FRENCH = Tables(
    tag="fr",
    name="French",
    group="",
    numbers=NumberWords(
        spelled=_spelled(),
        scales={
            "mille": 10**3,
            **dict.fromkeys(("million", "millions", "mio"), 10**6),
            **dict.fromkeys(("milliard", "milliards", "md", "mds", "mrd"), 10**9),
            # A million millions and a million more, but a thousand millions and a thousand more in English.
            **dict.fromkeys(("billion", "billions", "trillion", "trillions"), 0),
        },
        # Articles, "new", an English month and an English coin.
        never_alone=frozenset({"un", "une", "neuf", "sept", "cent"}),
        bare_scales=frozenset({"mille"}),
        half_of="un demi|une demi|demi",
        and_half="et demie?",
    ),
    months=(
        "janvier janv",
        "fevrier fevr",
        "mars",
        "avril avr",
        "mai",
        "juin",
        "juillet juil",
        "aout",
        "septembre sept",
        "octobre oct",
        "novembre nov",
        "decembre dec",
    ),
    weekdays="lundi mardi mercredi jeudi vendredi samedi dimanche",
    date_after_day="(?:er)?",
    date_separators="/.-",
    times=(
        r"(?P<hour>\d{1,2}) ?(?:h|heures?) ?(?P<minute>\d{2})(?: ?min)?(?:(?P<am> du matin)|(?P<pm> (?:du soir"
        r"|de l'apres"
        r"-midi)))?",
        r"(?P<hour>\d{1,2}) ?(?:h|heures?) (?:(?P<am>du matin)|(?P<pm>du soir|de l'apres-midi)|(?P<night>de la nuit))",
        r"(?<!y )(?<!il )(?<!elle )(?<!on )a (?P<hour>\d{1,2}) ?(?:h|heures?)(?! d[e'])",
    ),
    units={
        "%": "pour_cent pourcent pour_cents points_de_pourcentage",
        "km": "kilometres kilometre",
        "m": "metres metre",
        "cm": "centimetres centimetre",
        "mm": "millimetres millimetre",
        "in": "pouces pouce po",
        "ft": "pieds pied",
        "yd": "yards yard",
        "g": "grammes gramme",
        "mg": "milligrammes milligramme",
        "kg": "kilogrammes kilogramme kilos kilo",
        "t": "tonnes tonne",
        "oz": "onces once",
        "l": "litres litre",
        "ml": "millilitres millilitre",
        "s": "secondes seconde",
        "min": "minutes minute mn",
        "h": "heures heure",
        "day": "jours jour j",
        "week": "semaines semaine sem",
        "month": "mois",
        "year": "ans annees annee",
        "m2": "metres_carres metre_carre",
        "km2": "kilometres_carres kilometre_carre",
        "mi2": "milles_carres mille_carre miles_carres",
        "ha": "hectares hectare",
        "acre": "acres acre ac acres_anglo-saxonnes acre_anglo-saxonne",
        "km/h": "kilometres_par_heure kilometre_par_heure kilometres-heure kilometres_a_l'heure",
        "mph": "miles_par_heure mile_par_heure mi/h",
        "°c": "degres_celsius degre_celsius",
        "°f": "degres_fahrenheit degre_fahrenheit",
        "w": "watts watt",
        "kw": "kilowatts kilowatt",
        "mw": "megawatts megawatt",
        "person": "personnes personne",
        "usd": "dollars dollar dollars_americains",
        "eur": "euros euro",
        "gbp": "livres_sterling livre_sterling",
        "try": "livres_turques livre_turque",
        "isk": "couronnes_islandaises",
        "cny": "yuans yuan",
        "jpy": "yens yen",
        "cent": "centimes centime",
    },
    yes=r"oui|vrai|exact|correct|si",
    no=r"non|faux|incorrect",
    unknown=(
        r"\b(?:n'est|ne sont|n'a|n'ont|n'etait|n'a ete) (?:pas |jamais )?(?:ete )?(?:mentionne|precise|indique"
        r"|connu|dit|clair"
        r"|specifie|possible|fourni|donne)|\bne (?:le )?(?:dit|mentionne|precise|indique|specifie|donne|fournit"
        r"|contient)"
        r"(?:nt)? (?:pas|aucun)|\bpas (?:mentionne|precise|indique|specifie)|^\W*(?:je )?ne sais pas|(?:^"
        r"|\b(?:est|sont|reste|etait) )\W*inconnue?s?\W*$"
        r"|\baucune (?:information|reponse|mention)|\bil n'y a pas d'information|\bon ne sait pas"
        r"|\bimpossible (?:a|de) "
    ),
    conflict=(
        r"\bcontredi\w*|\bcontradict\w*|\bse contredisent|\bdivergent\w*|\bdivergen\w*|\bincompatib\w*|\ben conflit"
        r"|\bincoheren\w*|\bne concordent pas|\bdesaccord|\bl'une des sources\b.*\bl'autre\b"
    ),
    no_conflict=(
        r"\bne (?:se |(?:semblent?|paraissent) pas se )contredi|\b(?:n'y a|n'ai trouve|ne vois"
        r"|ne presentent) (?:pas de |aucune? )(?:contra"
        r"|diverg|incoh|conflit|desaccord)|\b(?:ne sont|n'est) pas (?:contra|diverg|incoh|incompat)|\bpas (?:de "
        r"|en )?(?:contra|diverg|incoh"
        r"|conflit|desaccord)|\bsans (?:contra|diverg|incoh)|\baucune (?:contra|diverg|incoh)|\bne divergent pas"
    ),
    asks_number=(
        r"\bcombien\b|\bquand\b|\bquel(?:le)?s? (?:annee|date|jour|mois|heure|siecle|age|pourcentage|nombre)\b"
    ),
    function_words="""
        le la les l un une du de d a au aux en et ou que qu qui est sont etait etaient fut furent etre a ont
        avait dans par pour sur avec comme se s son sa ses leur leurs ce cet cette ces il elle ils elles on y
        environ presque exactement total aussi tres deja quel quelle quels quelles ou quand combien pourquoi
        parce si reponse source sources texte selon soit
    """,
    telling="plus moins sous jusqu entre avant apres pas seulement depuis des",
    unit_link="(?:de |d')?",
    prompt_text=PromptText(
        preamble="Voici quelques sources.\n\n",
        tasks={
            Prompt.STANDARD: "\n\nEn utilisant toutes les sources ci-dessus, réponds à cette question en français.\n"
            "{question}",
            Prompt.INSTRUCTED: (
                "\n\nEn utilisant toutes les sources ci-dessus, réponds à cette question en français. "
                "Si les sources se contredisent, signale la contradiction.\n{question}"
            ),
            Prompt.EXPLICIT: (
                "\n\nChacune des sources ci-dessus mènerait-elle à la même réponse à la question « {question} » ? "
                "Réponds par oui ou par non en français, puis explique."
            ),
        },
        alone_task="\n\nQuestion : {question}\nRéponds en français.",
        alone_opening="Réponse courte :",
    ),
    ranges=("entre # et #", "(?<!de )# a #"),
    fraction=(
        r"(?:tiers|quarts?|cinquiemes?|sixiemes?|septiemes?|huitiemes?|neuviemes?|dixiemes?|centiemes?|moities?)\b"
    ),
    but="mais|bien que|cependant|alors que|tandis que",
    when="en|en l'an",
    minus=r"(?<!\bau )(?<!\bou )(?<!\bdu )moins",
    unread=r"\ba (?:\S+ ){1,3}(?:h|heures?) et (?:demie?|quart)\b|\bh(?:eures?)? (?:et quart|moins)\b"
    r"|\bmoins le quart|\bdouzaines?\b"
    r"|\b(?:dix|quinz|vingt|trent|cent)aines?\b|\bmilliers?\b|\b(?:sous|dessous de) zero\b|\bet unieme\b",
    abbreviations="m mm mme mmes mlle dr pr st ste env etc",
)
