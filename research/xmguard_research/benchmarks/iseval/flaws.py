"""Does a response say what is wrong with a problem? Rules in English, one list of phrases per category.

Another criterion than that of the conflict judges: a missing premise, or a term misused, is no contradiction. It
counts that the flaw is named, not that the answer is right. Reads no meaning; `responses.jsonl` measures how far that
goes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from xmguard_research.judge.rules import RuleJudge
from xmguard_research.judge.values import Exchange
from xmguard_research.metrics import Detection, detection_rates

_DENIED = re.compile(r"(?:\b(?:no|not|nothing|never|without|nor)\b|n['’]t\b)(?:\W+\w+){0,3}\W*$")
_UNREAL = re.compile(r"\b(?:whether|if|unless)\b[^,;]*$")
_SUBJECT = r"(?:premise|question|problem|statement|text|reasoning|logic|calculation|step|wording|sentence|description)"
_BAD = (
    r"(?:wrong|incorrect|false|flawed|faulty|invalid|inconsistent|ambiguous|unclear|incomplete|misleading|impossible)"
)
_NOT = r"(?:\b(?:no|not|never|cannot)\b|n['’]t\b)"
_ANY = (
    rf"\b{_SUBJECT}\b[^.?!]{{0,40}}\b(?:is|are|seems?|appears?|looks?)\b(?! (?:not|n['’]t|right|correct))"
    rf"[^.?!,]{{0,30}}\b{_BAD}\b"
    r"|\b(?:does|do)(?: not|n['’]t) make (?:any )?sense\b|\bmakes no sense\b|\bnonsens\w*|\bmeaningless\b"
)
_OPEN = (
    rf"{_NOT}[^.?!]{{0,30}}\b(?:given|stated|specif\w+|sa(?:y|id)|tell|told|provided?|mention\w*"
    r"|clear|enough|sufficient|known?|information)\b"
    r"|\bcan(?:not|['’]t| not)(?: be)? (?:determined?|answer(?:ed)?|calculated?|known?|tell|say|computed?|worked out)\b"
    r"|\b(?:unable|impossible) to (?:determine|answer|calculate|know|tell|say|compute)\b"
)
_MEANT = r"\b(?:probably|presumably) (?:means?|meant)\b"
_PHRASES: Mapping[str, str] = {
    "exclusive": (
        r"\bcontradict\w*|\binconsisten\w*|\bconflict\w*|\bmutually exclusive\b|\bdisagree\w*|\bmismatch\w*"
        r"|\b(?:does|do)(?: not|n['’]t) (?:match|agree|fit)\b|\bcan(?:not|['’]t) both\b"
    ),
    "irrelevant": (
        r"\birrelevant\b|\bnot relevant\b|\bunrelated\b|\bunnecessary\b|\bsuperfluous\b|\bextraneous\b"
        r"|(?:\bnot|n['’]t) (?:\w+ )?(?:needed|necessary|required|matter|affect|change|relate\w*)\b"
        r"|\bnothing to do with\b|\bno bearing\b|\b(?:can be|should be|I) ignored?\b|\bextra information\b"
        r"|\bdistract\w+"
    ),
    "lacking": (
        rf"{_OPEN}|\bmissing\b|\binsufficient\b|\bunknown\b|\bincomplete\b|\bneeds? to know\b"
        r"|\bdepends on (?:how|the)\b|\bwithout knowing\b"
    ),
    "wording": (
        r"\bgramma\w*|\bword(?:ed|ing)\b[^.?!]{0,20}\b(?:odd|wrong|strange|bad|off)\w*"
        r"|\b(?:badly|oddly|poorly|strangely) (?:worded|phrased|written)\b|\btypo\b|\bgarbled\b|\bmalformed\b"
        rf"|\bwrong unit\b|\bnot (?:a |an )?(?:\w+ )?(?:unit|measure)\b|{_MEANT}"
        rf"|\b(?:UNIT)\b[^.?!]{{0,60}}(?:{_NOT}|\b(?:wrong|instead|odd|strange|time|distance)\b)"
        r"|\bnot\b[^.?!]{0,15}\bin (?:UNIT)\b"
    ),
    "misuse": (
        rf"\bmisus\w+|\bwrong (?:term|word|concept)\b|{_MEANT}|{_NOT}[^.?!]{{0,25}}\bTERM\b"
        rf"|\bTERM\b[^.?!]{{0,60}}(?:{_NOT}|\b(?:wrong|incorrect|instead|only|applies to|belongs to)\b)"
    ),
    "unclear": (
        rf"{_OPEN}|\bambigu\w+|\bunclear\b|\bdepends on which\b"
        r"|\bwhich (?:one|of the two|card|sheet)\b[^.!]{0,40}\?|\beither\b[^.?!]{0,60}\bor\b"
    ),
    "misguided": (
        r"\bwrong(?:ly)?\b|\bincorrect\w*|\bmistake\w*|\berrors?\b|\bflaw\w*|\binvalid\b|\bfallac\w+"
        r"|\bmiscalculat\w*|\bnot (?:right|correct|true|follow)\b|(?:does|do)(?: not|n['’]t) (?:follow|add)\b"
        r"|\bshould (?:be|have|subtract|multiply)\b|\b(?:has|have) (?:four|4) sides\b[^.?!]{0,20}\bnot\b"
        r"|\bnot (?:three|3)\b|\brather than add\w*|\binstead of add\w*"
    ),
}


def flaw_named(category: str, response: str, *, question: str, term: str, unit: str) -> str:
    """The words of a response that name the flaw; empty if none do.

    Args:
        category: of `problems.CATEGORIES`.
        response: English.
        question: as it was asked.
        term: the word that is misused.
        unit: the unit that is misplaced, a pattern.
    """
    text = response.lower()
    for match in _compiled(category, term, unit).finditer(text):
        start = max(text.rfind(stop, 0, match.start()) for stop in ".!?\n") + 1
        before = text[start : match.start()]
        if not (_DENIED.search(before) or _UNREAL.search(before)):
            return match[0]
    if category == "exclusive":
        judged = RuleJudge().judge(Exchange(question, response))
        return judged.reason if judged.mentions_conflict else ""
    return ""


@cache
def _compiled(category: str, term: str, unit: str) -> re.Pattern[str]:
    own = _PHRASES[category].replace("TERM", re.escape(term)).replace("UNIT", unit)
    return re.compile(f"{own}|{_ANY}")


def labelled() -> list[dict[str, Any]]:
    """Responses that were written and labelled to measure the rules: `category`, `response`, `names_flaw`."""
    text = (files("xmguard_research.benchmarks.iseval") / "responses.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def measured() -> Detection:
    """How good the rules are on `labelled`: its conflicts are the responses that name a flaw."""
    rows = labelled()
    said = [
        bool(flaw_named(row["category"], row["response"], question="", term=row["term"], unit=row["unit"]))
        for row in rows
    ]
    return detection_rates([row["names_flaw"] for row in rows], said)
