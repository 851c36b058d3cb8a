"""Spanish for the rule judge."""

from __future__ import annotations

from xmguard_research.judge.phrases import Phrases, words

_NOUN = (
    r"(?:fuentes?|parrafos?|textos?|documentos?|articulos?|pasajes?|fragmentos?|descripcion(?:es)?"
    r"|relatos?|versiones|version)"
)
_PICTURE = r"(?:imagen(?:es)?|fotos?|fotografia|ilustracion)"

SPANISH = Phrases(
    tag="es",
    function_words=words(
        """
        el la los las un una unos unas de del al y o u e es son era eran fue fueron que quien cuando donde como en
        con por
        para segun se su sus lo le les no ni si pero mientras a ha han hay dos ambos ambas primer primero primera
        segundo
        segunda otro otra dice dicen afirma habla indica muestra da texto parrafo fuente imagen foto este esta
        """
    ),
    source=rf"\b(?:{_NOUN}|{_PICTURE}|informacion(?:es)?|datos|cifras|respuestas|afirmaciones|ambas cosas)\b",
    differ=(
        r"\bcontradi\w+|\bdiscrep\w+|\bdifier\w+|\bdiferente?s?\b|\bdiferencias?\b|\bdistint[oa]s\b|\binconsisten\w+"
        r"|\bincoheren\w+|\bincompatib\w+|\bdesacuerdos?\b|\bdiverg\w+|\bconflicto\w*|\bopuest[oa]s\b|\bcontrari[oa]s\b"
    ),
    alike=(
        r"\bcoincid\w+|\bde acuerdo\b|\bconcuerda\w*|\bconcordan\w*|\bcorresponde\w*|\blas? mismas?\b|\bl?os? mismos?\b"
        r"|\bcoheren\w+|\bconsistentes?\b|\bcompatibles?\b|\biguales\b|\bidentic[oa]s\b|\bencajan?\b|\bcuadran?\b"
        r"|\bambas (?:cosas|respuestas|versiones)\b|\bciert[oa]s\b"
    ),
    before=r"\b(?:no|ni|sin|ningun[oa]?|tampoco|nunca|jamas)\b",
    after=r"\s(?:en absoluto|para nada)\b",
    unreal=r"\b(?:si|en caso de|caso de que)\b",
    because=r"\b(?:porque|ya que|pues|puesto que)\b",
    reported=rf"\bsegun (?:el|la) {_NOUN}|\b(?:el|la) {_NOUN} (?:dice|explica|aclara|cuenta) que\b",
    sides=(
        rf"\b(?:(?:el|la) primer[oa]?(?: {_NOUN})?|una? {_NOUN}|en un[oa]\b|{_NOUN} (?:1|a)\b)",
        (
            rf"\b(?:(?:el|la) segund[oa](?: {_NOUN})?|(?:el|la) otr[oa](?: {_NOUN})?|otr[oa] {_NOUN}"
            rf"|en otr[oa]\b|{_NOUN} (?:2|b)\b)"
        ),
        rf"\b(?:la|el|una) {_PICTURE}",
        r"\b(?:el texto|la descripcion|la leyenda|el articulo)(?! (?:1|2|a|b)\b)",
    ),
    contrast=r"\b(?:pero|mientras|aunque|sin embargo|en cambio|no obstante|si bien|por el contrario|sino)\b",
    silent=(
        r"\bno (?:lo |se |la )?(?:\w+ )?(?:menciona|dice|indica|especifica|precisa|aclara|permite|muestra|ve|da)\w*"
        r"|\bninguna (?:mencion|informacion)\b"
    ),
    agrees=r"\b(?:tambien|igualmente|asimismo|lo mismo|confirma|de igual)\b",
    yes=r"si\b",
    no=r"no\b(?=\W*(?:$|[.,;:]))",
    asks_same=r"\b(?:serian|son|seria|darian|dan|es)\b.{0,200}\b(?:las? mismas?|el mismo|los mismos|iguales)\b",
)
