"""English ways to say "not stated", yes, no, and "my sources disagree".

Works on one clause or one answer at a time and on wording alone: it judges no facts. Patterns are kept narrow, since
a missed phrase leaves a verdict open while a wrongly found one would close it. Their gaps are bounded, so that the time
taken grows in proportion to an answer's length.
"""

from __future__ import annotations

import re

_SOURCE = (
    r"(?:sources?|texts?|articles?|documents?|passages?|contexts?|reports?|accounts?|spans?|snippets?|paragraphs?|"
    r"statements?|descriptions?|images?|captions?|witnesses|versions?|studies|papers?|references|information|evidence|"
    r"data|claims?|answers?|figures|they)"
)
_TELL = (
    r"(?:say|state|mention|specify|provide|contain|give|include|indicate|tell|reveal|disclose|explain|report|answer|"
    r"address|describe|discuss|clarify)"
)
_TOLD = (
    r"(?:said|stated|mentioned|specified|provided|given|included|indicated|revealed|disclosed|reported|answered|"
    r"described|discussed|known|clear|available|found|determined)"
)

_UNKNOWN = re.compile(
    rf"""
    ^\W*(?:(?:it|that|this|the\ answer)(?:\s+is|\s+was|'s)\s+)?(?:simply\s+)?
        (?:unknown|unclear|unspecified|unanswerable|undetermined|none|n/?a|not\ applicable|not\ sure|no\ idea|
           no\ answer)\W*$
    | ^\W*(?:it(?:\s+is|\s+was|'s)\s+)?(?:not|never)\ (?:explicitly\ |directly\ |specifically\ |clearly\ )?{_TOLD}\b
    | \b(?:is|are|was|were|has\ been|have\ been)(?:\s+not|n't)\ (?:explicitly\ |directly\ |specifically\ |clearly\ )?
        {_TOLD}\b
    | \b(?:is|are|was|were|remains?)\ (?:still\ )?(?:unknown|unclear|unspecified|undisclosed)\b
    | \b(?:do|does|did)(?:\s+not|n't)\ (?:explicitly\ |directly\ |specifically\ |actually\ |clearly\ )?{_TELL}\b
    | \b{_SOURCE}\ (?:{_TELL}s?|has|have)\ (?:no|nothing)\b
    | \b(?:there\ is|there's|contains?|provides?|gives?|has|have|^)\W*(?:no|not\ enough|insufficient|no\ relevant)
        \ (?:information|mention|data|details?|evidence|answer)\b
    | \b(?:insufficient|not\ enough)\ (?:information|data|details?|evidence|context)\b
    | \b(?:cannot|can't|can\ not|could\ not|couldn't)\ (?:be\ )?(?:say|said|tell|determined?|answer(?:ed)?|know|known|
        inferred|find|found|established?)\b
    | \b(?:unable|impossible|not\ possible)\ to\ (?:say|tell|determine|answer|know|find|infer)\b
    | ^\W*(?:sorry,?\s+)?(?:but\ )?(?:i|we)\ (?:do\ not|don't|did\ not|didn't)\ (?:know|have)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)

_PRONOUN = r"(?:he|she|it|they|we|i|you|this|that|there|these|those)"
# "No" before a noun ("no changes") denies a thing, and "no. 5" numbers one: neither answers a question.
_STANDS_ALONE = rf"(?=\s*(?:$|[^\w\s])|\s+{_PRONOUN}\b)"
_YES = re.compile(rf"^\W*(?:yes|yeah|yep|yup|true|correct|affirmative){_STANDS_ALONE}", re.IGNORECASE)
_NO = re.compile(rf"^\W*(?:no(?!\.\s*\d)|nope|false|incorrect|negative){_STANDS_ALONE}", re.IGNORECASE)

_NUMERIC = re.compile(
    r"\b(?:how (?:many|much|old|long|far|tall|big|large|often)|when|"
    r"(?:what|which) (?:year|date|percent\w*|number|time|day|month|age|century))\b",
    re.IGNORECASE,
)
_DISAGREE = re.compile(
    rf"""
    \bcontradict(?:s|ed|ing|ory|ions?)?\b
    | \bconflicting\b
    | \b{_SOURCE}\ (?:\w+\ ){{0,2}}conflicts?\b
    | \bconflicts?\ (?:between|among|in|within|across)\ (?:\w+\ ){{0,3}}{_SOURCE}\b
    | \b(?:conflicts\ with|conflict\ with\ (?:each|the)\ (?:other|first|second))\b
    | \b{_SOURCE}\b[^.!?]{{0,30}}\bnot\ (?:be\ )?(?:the\ same|consistent|identical|in\ agreement)\b
    | \bcannot\ both\ be\ (?:true|right|correct)\b
    | \bdisagree(?:s|d|ing|ments?)?\b
    | \binconsisten(?:t|cy|cies)\b
    | \bdiscrepanc(?:y|ies)\b
    | \bincompatible\b
    | \bmutually\ exclusive\b
    | \b(?:at\ odds|do(?:es)?\ not\ (?:agree|match|align)|don't\ (?:agree|match|align)|doesn't\ (?:agree|match|align))\b
    | \b(?:sources?|texts?|articles?|documents?|passages?|reports?|accounts?|statements?|versions?|claims?|figures|
        answers?|they)\ (?:also\ |clearly\ |seem\ to\ |appear\ to\ )?(?:differ|vary|diverge)s?\b
    | \b(?:differ(?:s|ent|ing)?|vary|varying)\b[^.!?]{{0,40}}\b(?:between|across|among|depending\ on|according\ to)\b
        [^.!?]{{0,30}}\b{_SOURCE}\b
    | \b(?:{_SOURCE}|there\ are)\ (?:\w+\ ){{0,3}}(?:different|differing|varying|opposing|opposite|divergent)
        \ (?:answers?|accounts?|claims?|figures|numbers|statements?|information|values|dates|views)\b
    | \b(?:one|the\ first|another|some)\ {_SOURCE}\b[^?!]{{0,200}}?
        \b(?:another|the\ other|others|the\ second)\b(?:\ {_SOURCE})?
        \ (?:says?|states?|claims?|reports?|suggests?|puts?|gives?|mentions?|indicates?|describes?|shows?|denies|deny)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)

# What takes a disagreement back, looked for in front of it within its clause.
_NEGATED_BEFORE = re.compile(
    r"""
    \b(?:no|without(?:\ any)?|nor|neither|hardly|cannot|isn't|aren't|don't|doesn't|didn't|wasn't|weren't|never|not|
       free\ of|rather\ than|far\ from|there's\ no)\b
    (?:\ (?:any|a|an|the|be|to|in|find|found|see|seen|seem|appear|contain|really|actually|directly|obvious|apparent|
       clear|direct|explicit|real|such|significant|each|other|evidence|signs?|of|there|is|are|sources?|texts?|
       documents?|passages?|two|both|necessarily|at\ all|factual|explicitly))*\W*$
    """,
    re.IGNORECASE | re.VERBOSE,
)
_OTHER_SENSE = re.compile(r"\b(?:armed|military|ethnic|border|civil|if|whether)\b[\w\s'-]{0,24}$", re.IGNORECASE)
"""A war, or a hypothetical."""
_ASKED_OR_NONE = re.compile(r"[^.!?\n]{0,200}\?|\s*:\s*(?:none|no)\b", re.IGNORECASE)
"""After a disagreement: a question the answer repeats, or a list of findings that is empty."""

_LOOK_BACK = 200
"""Characters in front of a disagreement that are searched for what takes it back."""


def says_unknown(clause: str) -> bool:
    """Whether a cleaned clause says that the answer is not stated or not known."""
    return _UNKNOWN.search(clause) is not None


def yes_or_no(text: str) -> str:
    """`yes` or `no` when the cleaned answer opens with one, else an empty string. "No changes" is neither."""
    if _YES.search(text):
        return "yes"
    return "no" if _NO.search(text) else ""


def reports_conflict(text: str) -> bool:
    """Whether some sentence of a cleaned answer says that sources disagree, and does not deny it."""
    return any(_affirmed(text, match) for match in _DISAGREE.finditer(text))


def _affirmed(text: str, match: re.Match[str]) -> bool:
    before = re.split(r"[.!?;:]\s|,\s*but\s", text[max(0, match.start() - _LOOK_BACK) : match.start()])[-1]
    taken_back = _NEGATED_BEFORE.search(before) or _OTHER_SENSE.search(before)
    return not (taken_back or _ASKED_OR_NONE.match(text, match.end()))


def asks_for_number(question: str) -> bool:
    """Whether a question asks for a number, a measure or a date."""
    return bool(_NUMERIC.search(question))
