"""A judge without a model: phrases by which a response says that its sources disagree, in seven languages.

A response counts if one of its sentences says that sources differ, or denies that they agree; if it tells what two
sources say, and that differs; or if it goes against what it said with a source that says otherwise. It is offline and
fast, and it reads no meaning: it cannot know whether two different claims are compatible. Not the guard's own reading
(`Language.reports_conflict`) on purpose: a system is not judged by what it goes by itself.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from xmguard.languages.folding import folded
from xmguard.languages.sentences import sentences
from xmguard_research.judge.phrases import Phrases
from xmguard_research.judge.phrases.chinese import CHINESE
from xmguard_research.judge.phrases.english import ENGLISH
from xmguard_research.judge.phrases.french import FRENCH
from xmguard_research.judge.phrases.german import GERMAN
from xmguard_research.judge.phrases.icelandic import ICELANDIC
from xmguard_research.judge.phrases.spanish import SPANISH
from xmguard_research.judge.phrases.turkish import TURKISH
from xmguard_research.judge.settings import JudgeSettings
from xmguard_research.judge.values import Exchange, Judgement, Status
from xmguard_research.verdict.words import tokens

Cuts = Sequence[tuple[int, int]]
"""Half-open character ranges of a response's sentences, in order."""

LANGUAGES = (ENGLISH, CHINESE, TURKISH, ICELANDIC, SPANISH, FRENCH, GERMAN)
VERSION = "1"
"""Raised whenever a judgement may change."""
LONGEST = 20_000
"""Characters of a response, or of a question; an exchange with more is not judged."""
REACH = 4
"""Words that may stand between a denial and what it denies."""
LEAD = 40
"""Characters before the mention of a source in which a contrast is looked for."""
SHORT_CLAIM = 3
"""Content words of a claim that says no more than another value."""


def make(settings: JudgeSettings) -> RuleJudge:
    """The judge `rules`.

    Raises:
        InvalidRequest: anything is set.
    """
    settings.only("rules")
    return RuleJudge()


class RuleJudge:
    """Finds the language of a response by its function words, and then what that language has for a conflict."""

    name = "rules"
    produced_by = f"rules {VERSION}"

    def judge(self, exchange: Exchange) -> Judgement:
        """PARSED, with the words found as reason; ERROR for a response that is too long."""
        if max(len(exchange.response), len(exchange.question)) > LONGEST:
            return Judgement(Status.ERROR, None, f"the question or the response has more than {LONGEST} characters")
        text = folded(exchange.response)
        rules = _compiled(_language(text))
        cuts = sentences(exchange.response, rules.tag)
        asked = folded(exchange.question)
        if any(_compiled(one).asks_same.search(asked) for one in LANGUAGES):
            if rules.no.match(text):
                return Judgement(Status.PARSED, True, "denies that the sources lead to the same answer")
            if rules.yes.match(text):
                return Judgement(Status.PARSED, False, "says that the sources lead to the same answer")
        found = rules.said(text, cuts) or rules.told(text, cuts) or rules.deviating(text, cuts)
        return Judgement(Status.PARSED, bool(found), found)


def _language(text: str) -> Phrases:
    """The language that has most of a folded text's words, function words and nouns for sources; English in doubt."""
    found = tokens(text)

    def known(one: Phrases) -> int:
        function = sum(word in one.function_words or _is_han(one, word) for word in found)
        return function + len(re.findall(one.source, text))

    return max(LANGUAGES, key=known)


def _is_han(language: Phrases, word: str) -> bool:
    return language is CHINESE and "\u4e00" <= word[0] <= "\u9fff"


@cache
def _compiled(phrases: Phrases) -> Rules:
    return Rules(phrases)


@dataclass(frozen=True)
class _Mention:
    """Where a side is named, half-open."""

    side: int
    start: int
    stop: int


class Rules:
    """The phrases of one language, compiled. Reads folded text."""

    def __init__(self, phrases: Phrases) -> None:
        self.tag = phrases.tag
        self._function_words = phrases.function_words
        self._source, self._differ, self._alike = map(re.compile, (phrases.source, phrases.differ, phrases.alike))
        self._before = re.compile(rf"(?:{phrases.before})(?:\W+\w+){{0,{REACH}}}\W*$")
        self._denial, self._after = re.compile(phrases.before), re.compile(phrases.after)
        self._unreal, self._reported = re.compile(phrases.unreal), re.compile(phrases.reported)
        self._clause = re.compile(rf"[,;:()，；：、—–]|{phrases.because}|{phrases.contrast}")
        self._sides = tuple(map(re.compile, phrases.sides))
        self._contrast, self._silent, self._agrees = map(re.compile, (phrases.contrast, phrases.silent, phrases.agrees))
        self.yes, self.no = (re.compile(rf"\W*(?:{pattern})") for pattern in (phrases.yes, phrases.no))
        self.asks_same = re.compile(phrases.asks_same)

    def said(self, text: str, cuts: Cuts) -> str:
        """The words that say that sources differ, or that they agree and are denied; empty if none do."""
        of_sources = False
        for start, stop in cuts:
            sentence = text[start:stop]
            named = len(self._source.findall(sentence))
            reported = named <= 1 and self._reported.search(sentence) is not None
            before, of_sources = of_sources, named > 0
            if reported or not (of_sources or before):
                continue
            for pattern, denied in ((self._differ, False), (self._alike, True)):
                for match in pattern.finditer(sentence):
                    inside = denied and self._denial.search(match[0]) is not None
                    if self._real(sentence, match) and (inside or self._denied(sentence, match)) is denied:
                        return match[0]
        return ""

    def told(self, text: str, cuts: Cuts) -> str:
        """Two mentions of different sources with claims that differ; empty if there are none."""
        mentions = self._mentions(text)
        for index, (one, other) in enumerate(pairwise(mentions)):
            if one.side == other.side:
                continue
            stop = _end(mentions, index + 1, cuts)
            claims = [text[one.stop : other.start], text[other.stop : stop]]
            if not all(map(self._claim, claims)):  # "112 from the first and 97 from the second"
                begin = bisect_right(cuts, one.start, key=lambda cut: cut[0]) - 1
                claims = [text[cuts[begin][0] : one.start], "".join(claims)]
            if self._differing(claims[0], claims[1], text[one.stop : stop]):
                return text[one.start : other.stop]
        return ""

    def deviating(self, text: str, cuts: Cuts) -> str:
        """A source that is set against what was said before; empty if there is none."""
        mentions = self._mentions(text)
        before: frozenset[str] = frozenset()
        for index, mention in enumerate(mentions):
            before |= self._claim(text[mentions[index - 1].start if index else 0 : mention.start])
            lead = text[max(0, mention.start - LEAD) : mention.start]
            claim = text[mention.stop : _end(mentions, index, cuts)]
            aside = lead.endswith(("(", "（"))
            against = aside or self._contrast.search(lead) or self._contrast.match(claim.lstrip(" ,"))
            taken_back = self._leaves_open(claim) or self._agrees.search(lead + claim)
            if against and not taken_back and before and not self._claim(claim) <= before:
                return text[mention.start : mention.stop]
        return ""

    def _real(self, sentence: str, match: re.Match[str]) -> bool:
        asked = sentence.rstrip().endswith(("?", "？"))
        return not (asked or self._unreal.search(sentence[: match.start()]))

    def _denied(self, sentence: str, match: re.Match[str]) -> bool:
        clause = self._clause.split(sentence[: match.start()])[-1] or ""
        return bool(self._before.search(clause) or self._after.match(sentence, match.end()))

    def _mentions(self, text: str) -> list[_Mention]:
        """Mentions of sides in order; where they overlap the longer one counts."""
        found = [
            _Mention(side, match.start(), match.end())
            for side, pattern in enumerate(self._sides)
            for match in pattern.finditer(text)
        ]
        kept: list[_Mention] = []
        for mention in sorted(found, key=lambda one: (one.start, -one.stop)):
            if not kept or mention.start >= kept[-1].stop:
                kept.append(mention)
        return kept

    def _differing(self, first: str, second: str, between: str) -> bool:
        one, other = self._claim(first), self._claim(second)
        silent = self._leaves_open(first) or self._leaves_open(second)
        if not one or not other or other <= one or silent or self._agrees.search(between):
            return False
        short = len(self._claim(self._first_clause(second))) <= SHORT_CLAIM
        return bool(one & other) or short or self._contrast.search(between) is not None

    def _leaves_open(self, claim: str) -> bool:
        return self._silent.search(self._first_clause(claim)) is not None

    def _first_clause(self, claim: str) -> str:
        """The first clause that says something."""
        parts = re.split(r"[,;，；]", self._contrast.sub(" ", claim))
        return next((part for part in parts if self._claim(part)), "")

    def _claim(self, text: str) -> frozenset[str]:
        """Content words of a text."""
        return frozenset(tokens(text)) - self._function_words


def _end(mentions: Sequence[_Mention], index: int, cuts: Cuts) -> int:
    """Where a mention's claim ends: with its sentence, or at the next mention."""
    mention = mentions[index]
    end = cuts[bisect_left(cuts, mention.stop, key=lambda cut: cut[1])][1]
    return min([end, *(one.start for one in mentions[index + 1 : index + 2])])
