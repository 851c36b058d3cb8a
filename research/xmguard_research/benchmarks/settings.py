"""What every suite can be told beside its own options: which prompts, how many cases, whose judge, which bias.

Values and their reading; inspect_ai hands them over as words. Knows no suite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from xmguard import Rebalance
from xmguard.errors import InvalidRequest
from xmguard.request import Prompt, Scope

PROMPTS = {prompt.name.lower(): prompt for prompt in (Prompt.STANDARD, Prompt.INSTRUCTED, Prompt.EXPLICIT)}
SCOPES = {scope.name.lower(): scope for scope in (Scope.READERS, Scope.ALL, Scope.GENERATED)}
LATER = "s2"
"""Name of the later source in a request."""


@dataclass(frozen=True)
class Settings:
    """Options of every suite: `inspect eval xmguard/clqa -T cases=20 -T policy=fixed -T epsilon=1`."""

    prompts: str = "standard,instructed,explicit"
    """Some of `PROMPTS`, with commas."""
    cases: int | None = None
    """Only so many cases, drawn at random; None is all."""
    judge: str = "rules"
    """Of `python -m xmguard_research.judge`."""
    judge_model: str = ""
    judge_url: str = ""
    policy: str = "none"
    """Of rebalancing, for models of ours; the others read as they do."""
    epsilon: float | None = None
    """Nats on the later source, with policy `fixed`."""
    parameters: str = ""
    """The policy's own, with commas: `share.s2=0.5`."""
    scope: str = "readers"
    """Which rows read under the bias: of `SCOPES`."""

    @property
    def asked(self) -> list[str]:
        """The prompts, by name.

        Raises:
            InvalidRequest: one is not known.
        """
        wanted = listed(self.prompts)
        if unknown := [name for name in wanted if name not in PROMPTS]:
            raise InvalidRequest.field("prompts", f"{unknown[0]!r} is not one of {', '.join(PROMPTS)}")
        return wanted

    @property
    def judging(self) -> dict[str, Any]:
        """What the judge is told: some of `JudgeSettings`."""
        told = {"base_url": self.judge_url, "model": self.judge_model}
        return {key: value for key, value in told.items() if value}

    @property
    def rebalance(self) -> Rebalance:
        """As a request has it.

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
        bias = {} if self.epsilon is None else {LATER: float(self.epsilon)}
        return Rebalance(self.policy, parameters, bias, SCOPES[self.scope])

    @property
    def label(self) -> str:
        """Everything that makes responses another kind of responses; empty as it comes."""
        steering = ""
        if self.policy != "none":
            how = [] if self.epsilon is None else [f"{self.epsilon:+g} on the later"]
            steering = " ".join([self.policy, *how, *listed(self.parameters), self.scope])
        judge = "" if self.judge == "rules" else f"judge {self.judge} {self.judge_model}".strip()
        return "; ".join(part for part in (steering, judge) if part)


NAMES = tuple(one.name for one in fields(Settings))


def listed(words: str | Sequence[str]) -> list[str]:
    """Words with commas between them; inspect_ai's command line splits them itself.

    >>> listed("en-en, en-es"), listed(["en-en", "en-es"]), listed("")
    (['en-en', 'en-es'], ['en-en', 'en-es'], [])
    """
    parts = words.split(",") if isinstance(words, str) else words
    return [part.strip() for part in parts if part.strip()]


def _parameter(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise InvalidRequest.field("parameters", f"{text!r} is not NAME=NUMBER") from None
