"""What every suite can be told beside its own options: which prompts, how many items, whose judge, which bias.

Values and their reading; inspect_ai hands them over as words. Knows no suite.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from xmguard import Rebalance
from xmguard.errors import InvalidRequest
from xmguard.request import Scope
from xmguard_research.benchmarks import protocol
from xmguard_research.benchmarks.protocol import FIGURE_5, OWN, PAIRINGS, PROMPTS, PROTOCOLS, Wording
from xmguard_research.judge.prompts import from_file as judge_prompt

EVERY_PROMPT = ",".join(PROMPTS)
SCOPES = {scope.name.lower(): scope for scope in (Scope.READERS, Scope.ALL, Scope.GENERATED)}
LATER = "s2"
"""Name of the later source in a request."""
TOKENS = 64
"""That a response may have: a conflict that is mentioned is mentioned early."""


@dataclass(frozen=True)
class Settings:
    """Options of every suite: `xmguard bench run clqa -T items=20 -T policy=fixed -T epsilon=1`."""

    prompts: str = EVERY_PROMPT
    """Some of `PROMPTS`, with commas."""
    items: int | None = None
    """Only so many items, with all their variants, orders and twins; the same ones each time. None is all."""
    judge: str = "rules"
    """Of `python -m xmguard_research.judge`."""
    judge_model: str = ""
    judge_url: str = ""
    judge_file: str = ""
    """Template of what a judge that is a model is told, in place of ours."""
    judge_timeout: float | None = None
    """Seconds for one attempt; None is the judge's own."""
    judge_retries: int | None = None
    """Further attempts; None is the judge's own."""
    policy: str = "none"
    """Of rebalancing, for models of ours; the others read as they do."""
    epsilon: float | None = None
    """Nats on the later source, with policy `fixed`."""
    parameters: str = ""
    """The policy's own, with commas: `share.s2=0.5`."""
    scope: str = "readers"
    """Which rows read under the bias: of `SCOPES`."""
    protocol: str = OWN
    """In whose structure it is asked: of `PROTOCOLS`."""
    prompt_file: str = ""
    """Words in place of ours, with protocol `paper`."""
    pairing: str = ""
    """Of `PAIRINGS`. `figure5`: cases across modalities under the Explicit prompt, the bias on the source that
    contributes least; all others under Standard, the bias on the later source."""
    max_tokens: int = TOKENS
    """That a response may have."""
    temperature: float = 0.0
    """0 is greedy."""

    def prompts_of(self, crosses: bool) -> list[str]:
        """The prompts, by name, of a case whose sources are or are not of different modalities.

        Raises:
            InvalidRequest: one is not known, or there is a choice where the pairing leaves none.
        """
        wanted = some_of(PROMPTS, "prompts", self.prompts)
        if not self._paired:
            return wanted
        if wanted != list(PROMPTS):
            raise InvalidRequest.field("prompts", f"are what pairing {self.pairing} chooses; leave one of them out")
        return ["explicit" if crosses else "standard"]

    @property
    def judging(self) -> dict[str, Any]:
        """What the judge is told: some of `JudgeSettings`."""
        told: dict[str, Any] = {
            "base_url": self.judge_url,
            "model": self.judge_model,
            "judge_file": Path(self.judge_file) if self.judge_file else None,
            "timeout": None if self.judge_timeout is None else float(self.judge_timeout),
            "retries": None if self.judge_retries is None else int(self.judge_retries),
        }
        return {key: value for key, value in told.items() if value not in ("", None)}

    def rebalance_of(self, crosses: bool) -> Rebalance:
        """As a request has it whose sources are or are not of different modalities.

        Raises:
            InvalidRequest: the policy and what is said of it do not go together.
        """
        if self.scope not in SCOPES:
            raise InvalidRequest.field("scope", f"{self.scope!r} is not one of {', '.join(SCOPES)}")
        if self.epsilon is not None and self.policy != "fixed":
            raise InvalidRequest.field("epsilon", f"goes with policy fixed, not with {self.policy}")
        parameters = dict(_parameter(one) for one in listed(self.parameters))
        if self.policy == "fixed" and self.epsilon is None and not parameters:
            raise InvalidRequest.field("epsilon", "is what policy fixed needs")
        if self._paired and (self.policy not in ("none", "fixed") or parameters):
            raise InvalidRequest.field("pairing", f"{self.pairing} goes with policy fixed and epsilon, or with none")
        if self.epsilon is None:
            return Rebalance(self.policy, parameters, {}, SCOPES[self.scope])
        if self._paired and crosses:
            return Rebalance(self.policy, {"epsilon": float(self.epsilon)}, {}, SCOPES[self.scope])
        return Rebalance(self.policy, parameters, {LATER: float(self.epsilon)}, SCOPES[self.scope])

    @cached_property
    def wording(self) -> Wording | None:
        """The words to ask in; None for those in which models of ours ask by themselves.

        Raises:
            InvalidRequest: there is no such protocol, or its words cannot be read.
        """
        if self.protocol not in PROTOCOLS:
            raise InvalidRequest.field("protocol", f"{self.protocol!r} is not one of {', '.join(PROTOCOLS)}")
        if self.protocol == OWN:
            if self.prompt_file:
                raise InvalidRequest.field("prompt_file", "goes with protocol paper")
            return None
        return protocol.from_file(Path(self.prompt_file)) if self.prompt_file else protocol.SHIPPED

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """Versions of the files that were given, by what they are for: another text is another run."""
        found = {}
        if self.wording is not None and self.wording.origin:
            found["prompt"] = self.wording.origin
        if self.judge_file:
            path = Path(self.judge_file)
            found["judge"] = f"{path.name} {judge_prompt(path).version}"
        return found

    @property
    def label(self) -> str:
        """Everything that makes responses another kind of responses; empty as it comes."""
        asked = "" if self.protocol == OWN else " ".join(filter(None, [self.protocol, self.texts.get("prompt")]))
        steering = ""
        if self.policy != "none":
            on = "the smaller across modalities, else the later" if self._paired else "the later"
            how = [] if self.epsilon is None else [f"{self.epsilon:+g} on {on}"]
            steering = " ".join([self.policy, *how, *listed(self.parameters), self.scope])
        decoding = [] if self.max_tokens == TOKENS else [f"{self.max_tokens} tokens"]
        decoding += [f"temperature {self.temperature:g}"] if self.temperature else []
        judge = ""
        if self.judge != "rules":
            judge = " ".join(filter(None, ["judge", self.judge, self.judge_model, self.texts.get("judge")]))
        return "; ".join(part for part in (asked, self.pairing, steering, *decoding, judge) if part)

    @property
    def _paired(self) -> bool:
        if self.pairing not in PAIRINGS:
            raise InvalidRequest.field("pairing", f"{self.pairing!r} is not one of {', '.join(filter(None, PAIRINGS))}")
        return self.pairing == FIGURE_5


NAMES = tuple(one.name for one in fields(Settings))


def listed(words: str | Sequence[str]) -> list[str]:
    """Words with commas between them; inspect_ai's command line splits them itself.

    >>> listed("en-en, en-es"), listed(["en-en", "en-es"]), listed("")
    (['en-en', 'en-es'], ['en-en', 'en-es'], [])
    """
    parts = words.split(",") if isinstance(words, str) else words
    return [part.strip() for part in parts if part.strip()]


def some_of(known: Collection[str], field: str, words: str | Sequence[str]) -> list[str]:
    """What is `listed`, all of it known.

    Raises:
        InvalidRequest: something else is among it; `field` says where.
    """
    wanted = listed(words)
    if unknown := [one for one in wanted if one not in known]:
        raise InvalidRequest.field(field, f"{unknown[0]!r} is not one of {', '.join(known)}")
    return wanted


def _parameter(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise InvalidRequest.field("parameters", f"{text!r} is not NAME=NUMBER") from None
