"""English for the rule judge."""

from __future__ import annotations

from xmguard_research.judge.phrases import Phrases, words

_NOUN = (
    r"(?:sources?|paragraphs?|passages?|texts?|documents?|articles?|accounts?|reports?|descriptions?|captions?"
    r"|contexts?|spans?|statements|excerpts?|versions?|snippets?)"
)
_ONE = r"(?:text|paragraph|passage|description|caption|article|document|report)\b"
_PICTURE = r"(?:image|picture|photo|photograph|drawing|screenshot)s?"
_SAYS = (
    r"(?:says?|states?|claims?|gives?|puts?|names?|dates?|mentions?|reports?|speaks?|tells?|suggests?|indicates?|has|is"
    r"|shows?|describes?|lists?|credits?|calls?|places?|refers?)"
)

ENGLISH = Phrases(
    tag="en",
    function_words=words(
        """
        the a an of to in on at by for from with and or is are was were be been it its this that these those there here
        as not no which who what when where how they them their he she his her you your i we my so if but while whereas
        than then also both each one other another first second has have had do does did according say says said state
        states stated claim claims give gives put puts name names mention mentions show shows showing describe describes
        tell tells report reports indicate indicates paragraph passage text source document image picture photo
        """
    ),
    source=(
        rf"\b(?:{_NOUN}|{_PICTURE}|information|evidence|data|materials?|context|answers?|figures"
        rf"|numbers given|(?:cannot|can not|can['’]t) both)\b"
    ),
    differ=(
        r"\bcontradict(?:s|ed|ing|ory|ions?)?\b|\bconflict(?:s|ed|ing)?\b|\binconsisten(?:t|cy|cies)\b"
        r"|\bdiscrepan(?:cy|cies|t)\b|\bmismatch\w*|\bdisagree(?:s|d|ing|ments?)?\b|\bdiffer(?:s|ed|ing|ent|ences?)?\b"
        r"|\bdiverg(?:e|es|ent|ing)\b|\bincompatible\b|\bincongru\w+|\bat odds\b|\bmutually exclusive\b"
        r"|\bvar(?:y|ies|ying)\b|\bopposing\b|\bdepends on which\b|\bnot what\b|\bclash(?:es|ing)?\b"
        r"|\birreconcilabl[ey]\b|\bcontrary to\b"
    ),
    alike=(
        r"\bagree(?:s|d|ment)?\b|\bmatch(?:es|ed|ing)?\b|\bconsistent\b|\bthe same\b|\bidentical\b|\bcoincide\b"
        r"|\balign(?:s|ed)?\b|\btally\b|\bcompatible\b|\bfit together\b|\badd up\b|\bin line\b"
        r"|\bline up\b|\bsquare with\b"
        r"|\bboth (?:be )?(?:right|true|correct|hold)\b"
    ),
    before=r"\b(?:not?|never|without|nor|neither|nothing|hardly|cannot|none|free of|rather than|fails? to|\w+n['’]t)\b",
    after=r"\W*:?\s*(?:none|no)\b",
    unreal=r"\b(?:if|whether|unless|should (?=the|any)|in case|had the)\b",
    because=r"\b(?:because|since|as|so|given that)\b",
    reported=(
        rf"\b(?:the|this|first|second) {_NOUN}(?: \d)? (?:itself )?(?:says|states|explains|reports"
        rf"|tells|mentions|adds|notes|describes|talks about|speaks of)\b"
        rf"|\baccording to the (?:first |second )?{_NOUN}|\b(?:says|adds) the {_NOUN}"
    ),
    sides=(
        rf"\b(?:the (?:first|former)(?: one| {_NOUN})?|one (?:{_NOUN}|of (?:them|the \w+))|(?:in|from|to|by) one\b"
        rf"|one (?={_SAYS}\b)|{_NOUN} (?:1|a|one)\b)",
        rf"\b(?:the (?:second|latter|other)(?: one| {_NOUN})?|another(?: {_NOUN}| one|(?= {_SAYS}\b))"
        rf"|other {_NOUN}|{_NOUN} (?:2|b|two)\b)",
        rf"\bthe {_PICTURE}|\bin (?:it|this) {_PICTURE}",
        rf"\b(?:the|its|this) (?:\w+ )?{_ONE}(?! (?:1|2|a|b|one|two)\b)",
        r"\bthe english \w+",
        r"\bthe (?:chinese|turkish|icelandic|spanish|french|german) \w+",
    ),
    contrast=r"\b(?:while|whereas|but|however|although|though|yet|instead|on the other hand|in contrast|rather)\b",
    silent=(
        r"\b(?:not|n['’]t|never|nothing|no) (?:\w+ )?(?:mention|say|state|specify|give|show|tell"
        r"|contain|provide|visible)"
        r"|\b(?:does|do|is|are|did)(?: not|n['’]t)\b|\bsilent\b|\bno (?:information|mention"
        r"|indication)\b|\b(?:unclear|blurr(?:y|ed)|too dark)\b"
    ),
    agrees=r"\b(?:also|too|likewise|as well|the same|again|agrees?|confirms?|supports?|equally|adds?)\b",
    yes=r"yes\b",
    no=r"no\b(?!,? (?:there|idea))",
    asks_same=(
        r"\b(?:would|do|does|are|is|will)\b.{0,200}\b(?:the )?(?:same|identical)\b"
        r"|\b(?:would|do|does|are|is)\b.{0,200}\b(?:agree|match)\b"
    ),
)
