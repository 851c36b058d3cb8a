"""French for the rule judge."""

from __future__ import annotations

from xmguard_research.judge.phrases import Phrases, words

_NOUN = (
    r"(?:sources?|paragraphes?|textes?|documents?|articles?|passages?|extraits?|descriptions?|legendes?"
    r"|recits?|versions?)"
)
_PICTURE = r"(?:image|photo|photographie|illustration)s?"

FRENCH = Phrases(
    tag="fr",
    function_words=words(
        """
        le la les l un une des du de d et ou est sont etait etaient a ont il elle ils elles ce c cela qui que qu
        quoi dont
        dans en sur par pour avec au aux ne n pas plus se s son sa ses leur leurs on y selon mais alors deux premier
        premiere
        second seconde deuxieme autre dit disent affirme indique parle montre donne texte paragraphe source image
        photo ete
        """
    ),
    source=(
        rf"\b(?:{_NOUN}|{_PICTURE}|informations?|donnees|chiffres|reponses|indications|elements"
        rf"|tou(?:te)?s les deux)\b"
    ),
    differ=(
        r"\bcontredi\w+|\bcontradict\w+|\bdiverg\w+|\bdesaccord\w*|\bincoheren\w+|\bincompatib\w+"
        r"|\bdiffer(?:e|ent|ents|ente"
        r"|entes|ence|ences)\b|\bdistinct(?:e?s)\b|\bconflit\w*|\bopposee?s?\b|\bdiscordan\w+|\bcontraires?\b"
    ),
    alike=(
        r"\b(?:s['’ ])?accord(?:ent|e)?\b|\bcoinciden\w+|\bcoincide\b|\bcorrespond\w*|\bconcord\w+"
        r"|\bles memes\b|\bla meme\b"
        r"|\ble meme\b|\bcoheren\w+|\bcompatibles?\b|\bidentiques?\b|\ba la fois\b"
        r"|\btou(?:te)?s (?:les )?deux (?:etre )?(?:vrai|exact|just|correct)\w*"
    ),
    before=r"\b(?:ne|n['’]|pas|aucune?|sans|ni|jamais|nullement)(?:\b|(?<=['’]))",
    after=r"\s(?:aucunement|nullement)\b",
    unreal=r"\b(?:si|s['’](?=il)|au cas ou)(?:\b|(?<=['’]))",
    because=r"\b(?:car|parce que|puisque|comme)\b",
    reported=rf"\bselon (?:le |l[\'’]|la ){_NOUN}|\b(?:le |l[\'’]|la ){_NOUN} (?:dit|precise|explique|rapporte) que\b",
    sides=(
        rf"\b(?:l[ea] premiere?(?: {_NOUN})?|une? {_NOUN}|l['’]une? (?=dit|affirme|indique|parle)|{_NOUN} (?:1|a)\b)",
        (
            rf"\b(?:l[ea] (?:seconde?|deuxieme)(?: {_NOUN})?|l['’]autre(?: {_NOUN})?"
            rf"|une? autre(?: {_NOUN})?|{_NOUN} (?:2|b)\b)"
        ),
        rf"\b(?:l['’]|la |cette ){_PICTURE}",
        r"\b(?:le texte|la legende|la description|l['’]article)(?! (?:1|2|a|b)\b)",
    ),
    contrast=(
        r"\b(?:mais|tandis|alors que|cependant|pourtant|or|toutefois|en revanche|bien que|meme si|quoique"
        r"|neanmoins)\b"
    ),
    silent=(
        r"\b(?:ne|n['’]) ?(?:\w+ )?(?:precise|mentionne|indique|dit|donne|montre|voit|permet|figure)\w*(?: \w+)? "
        r"(?:pas|rien|aucun\w*)\b|\baucune (?:mention|information|indication)\b"
    ),
    agrees=r"\b(?:aussi|egalement|de meme|pareillement|confirme|la meme chose)\b",
    yes=r"oui\b",
    no=r"non\b",
    asks_same=(
        r"\b(?:seraient|sont|serait|donnent|donneraient|est)\b.{0,200}\b(?:les memes|la meme|le meme"
        r"|identiques?)\b"
    ),
)
