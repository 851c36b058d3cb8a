"""German for the rule judge."""

from __future__ import annotations

from xmguard_research.judge.phrases import Phrases, words

_NOUN = (
    r"(?:quellen?|absatze?n?|absatz|texte?n?s?|dokumente?n?|artikeln?|berichte?n?|passagen?"
    r"|abschnitte?n?|beschreibung(?:en)?"
    r"|darstellung(?:en)?)"
)
_PICTURE = r"(?:bild(?:er)?|foto|aufnahme|zeichnung)"

GERMAN = Phrases(
    tag="de",
    function_words=words(
        """
        der die das den dem des ein eine einen einem einer und oder ist sind war waren wurde wurden es er sie im in
        an am
        auf von zu zum zur mit aus bei fur nach laut sich nicht kein keine dass wenn aber auch wie was wo wer wann als
        so noch nur beide beiden erste ersten zweite zweiten andere anderen sagt nennt gibt spricht zeigt steht
        heißt text
        absatz quelle bild foto dort hier
        """
    ),
    source=rf"\b(?:{_NOUN}|{_PICTURE}|angaben?|informationen|zahlen|antworten|aussagen|daten|belege|beides)\b",
    differ=(
        r"\bwiderspr\w+|\bunterschied(?:e|lich\w*)?\b|\bunterscheide[nt]\b|\bverschieden\w*"
        r"|\babweich\w*|\bweich(?:en|t)\b"
        r"|\bunstimmig\w*|\bdiskrepan\w+|\bunvereinbar\w*|\buneinig\w*|\binkonsisten\w+|\bkonflikt\w*|\bgegensatz\w*"
    ),
    alike=(
        r"\bstimm(?:en|t)\b|\bubereinstimm\w*|\beinig\b|\bpass(?:en|t)\b|\bdecken sich\b|\bdeckt sich\b|\bdasselbe\b"
        r"|\bdie ?selben?\b|\bdie gleichen?\b|\bgleich\b|\bubereins?\b|\bidentisch\b|\bvereinbar\b|\bzugleich\b"
    ),
    before=r"\b(?:nicht|keine?[nmrs]?|ohne|weder|nie|niemals|nirgends|kaum)\b",
    after=r"(?: \w+){0,6}? (?:nicht|nie|keineswegs)\b",
    unreal=r"\b(?:falls|wenn|ob|sofern|sollten? (?=die|sich|es))\b",
    because=r"\b(?:weil|da|denn)\b",
    reported=rf"\blaut (?:dem )?{_NOUN}|\b(?:der|dem) {_NOUN} (?:zufolge|sagt|berichtet|erklart)\b",
    sides=(
        (
            rf"\b(?:(?:der|die|das|dem|den|im) ersten?\w*(?: {_NOUN})?|(?:eine[rsm]?|ein) {_NOUN}|im einen"
            rf"|{_NOUN} (?:1|a)\b)"
        ),
        (
            rf"\b(?:(?:der|die|das|dem|den|im) (?:zweiten?|anderen?)\w*(?: {_NOUN})?"
            rf"|eine andere(?: {_NOUN})?|{_NOUN} (?:2|b)\b)"
        ),
        rf"\b(?:das|dem|im|laut|auf dem|am) {_PICTURE}",
        r"\b(?:der|dem|im|laut|die|das) (?:text|beschreibung|bildunterschrift|artikel)(?! (?:1|2|a|b)\b)",
    ),
    contrast=r"\b(?:wahrend|aber|jedoch|hingegen|dagegen|doch|obwohl|auch wenn|allerdings|wohingegen|andererseits)\b",
    silent=(
        r"\bnicht (?:\w+ ){0,3}?(?:erwahnt|genannt|erkennen|sehen|hervor|gesagt|angegeben)|\b(?:nennt"
        r"|sagt|zeigt|erwahnt) "
        r"(?:\w+ ){0,3}?(?:nicht|nichts|kein\w*)\b|\bkeine angaben?\b|\bschweigt\b"
    ),
    agrees=r"\b(?:auch(?! wenn)|ebenfalls|ebenso|gleichfalls|genauso|bestatigt|desgleichen|dasselbe)\b",
    yes=r"ja\b",
    no=r"nein\b",
    asks_same=r"\b(?:waren|sind|ware|fuhren|geben|gibt|ist)\b.{0,200}\b(?:dieselben?|gleichen?|gleich|dasselbe)\b",
)
