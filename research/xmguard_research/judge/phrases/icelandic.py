"""Icelandic for the rule judge."""

from __future__ import annotations

from xmguard_research.judge.phrases import Phrases, words

_NOUN = (
    r"(?:heimild\w*|malsgrein\w*|texta\w*|text(?:inn|i|ar|um|unum)\b|grein\w*|skjol\w*|skjal\w*"
    r"|fraso[gn]\w*|frasagn\w*|lysing\w*)"
)
_PICTURE = r"(?:mynd(?:in|inni|ina|ar|arinnar|ir)?|ljosmynd\w*)"

ICELANDIC = Phrases(
    tag="is",
    function_words=words(
        """
        og en ad i a er eru var voru um af fra til med vid fyrir sem þad hann hun þeir þær þau sa su þess þeim
        þeirra ekki
        eða þar þvi se hafi haf hefur ef hvar hver hvenær hvad hvernig baðar badar badir bædi bæði badum fyrri fyrsta
        seinni siðari sidari onnur hin hinn segir segja nefnir nefna samkvæmt ég eg það þótt þott textinn myndinni
        """
    ),
    source=rf"\b(?:{_NOUN}|{_PICTURE}|upplysing\w*|svor\w*|tolur|tolum|gogn\w*)",
    differ=(
        r"\bstang(?:ast|ist)\b|\bmots[oa]g?[gn]\w*|\bosamræm\w*|\bosamkvæm\w*|\bmisvisandi\b|\bmismunandi\b|\bolik\w*"
        r"|\bgreinir a\b|\bosammala\b|\bmisræm\w*|\bagreining\w*|\bsitt hvor\w*|\bhvor sinn?\b"
    ),
    alike=(
        r"\bber saman\b|\bberr? \w+ saman\b|\bsammala\b|\bsamræm\w*|\bsom[ou]\b|\bsama\b|\bpass\w+"
        r"|\bbadar rettar\b|\brett(?:ar|ir|u)?\b"
    ),
    before=r"\b(?:ekki|engin|enginn|ekkert|engan|enga|an|hvorki|aldrei)\b",
    after=r"\s(?:ekki|hvergi|aldrei)\b",
    unreal=r"\b(?:ef|hvort)\b",
    because=r"\b(?:þvi að|þvi ad|þar sem|af þvi)\b",
    reported=r"\bsamkvæmt (?:textanum|greininni)\b|\btextinn (?:segir|greinir fra) (?:þvi )?ad\b",
    sides=(
        (
            rf"\b(?:su|sa|þeim|þvi|i|samkvæmt)? ?(?:fyrri|fyrst[aiu])(?: {_NOUN})?|\bonnur {_NOUN}"
            rf"|\bein {_NOUN}|\b{_NOUN} (?:1|a)\b"
        ),
        (
            rf"\b(?:su|sa|þeim|þvi|i|samkvæmt)? ?(?:seinni|sidari|siðari|onnur|annar)(?: {_NOUN})?"
            rf"|\bhin(?:n|ni|um)?(?: {_NOUN})?(?= )|\b{_NOUN} (?:2|b)\b"
        ),
        rf"\b{_PICTURE}\b",
        r"\btext(?:inn|anum|ans)\b|\blysing(?:in|unni)\b",
    ),
    contrast=r"\b(?:en|hins vegar|þo|þott|aftur a moti|samt|þratt fyrir|heldur)\b",
    silent=(
        r"\b(?:segir|nefnir|synir|kemur|getur|tekur)(?: \w+){0,2} ekki\b|\bekki (?:nefnt|getid|synt"
        r"|tekid)\b|\bengar upplysingar\b"
    ),
    agrees=r"\b(?:lika|einnig|sama|somuleidis|lika)\b",
    yes=r"ja\b",
    no=r"nei\b",
    asks_same=r"\b(?:yrdu|eru|myndu|gefa|væru)\b.{0,200}\b(?:þau somu|sama svar|eins|somu)\b",
)
