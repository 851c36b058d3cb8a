"""Suites as tasks of inspect_ai: `inspect eval xmguard_research/clqa_mini --model xmguard/smollm2`.

A sample is a case under one of the three prompts. Knows no report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig

from xmguard import AnswerRequest, Rebalance, load_plugins
from xmguard.context import ENGLISH
from xmguard.errors import InvalidRequest
from xmguard.prompt_text import QUESTION, PromptText
from xmguard.request import Prompt
from xmguard_research.benchmarks.asking import message
from xmguard_research.benchmarks.cases import Case, of_clqa
from xmguard_research.benchmarks.clqa.items import items, parse_variant
from xmguard_research.benchmarks.scoring import says_conflict

PROMPTS = {prompt.name.lower(): prompt for prompt in (Prompt.STANDARD, Prompt.INSTRUCTED, Prompt.EXPLICIT)}
TOKENS = 96
"""That a response may have."""


def samples(cases: Iterable[Case], prompts: Iterable[str], rebalance: Rebalance) -> Iterator[Sample]:
    """Every case under every prompt.

    Raises:
        InvalidRequest: there is no such prompt.
    """
    said = load_plugins().languages.items[ENGLISH].prompt_text
    wanted = list(prompts)
    if unknown := [name for name in wanted if name not in PROMPTS]:
        raise InvalidRequest.field("prompt", f"{unknown[0]!r} is not one of {', '.join(PROMPTS)}")
    for case in cases:
        for name in wanted:
            yield _sample(case, name, said, rebalance)


def conflicts(
    cases: Iterable[Case],
    *,
    name: str,
    prompts: str = "standard,instructed,explicit",
    judge: str = "rules",
    policy: str = "none",
    epsilon: float | None = None,
) -> Task:
    """A task of cases.

    Args:
        cases: what is asked.
        name: of the suite.
        prompts: some of `PROMPTS`, with commas.
        judge: a judge of `xmguard_judges`.
        policy: of rebalancing, for models of ours; the others read as they do.
        epsilon: nats on the later source, with policy `fixed`.

    Raises:
        InvalidRequest: there is no such prompt or judge, or the policy and epsilon do not go together.
    """
    if (policy == "fixed") != (epsilon is not None):
        raise InvalidRequest.field("epsilon", "goes with policy fixed, and policy fixed with it")
    rebalance = Rebalance(policy, bias={} if epsilon is None else {"s2": epsilon})
    return Task(
        MemoryDataset(list(samples(cases, prompts.split(","), rebalance)), name=name),
        scorer=says_conflict(judge),
        config=GenerateConfig(max_tokens=TOKENS, temperature=0.0),
        name=name,
        metadata={"suite": name, "policy": policy, "epsilon": epsilon},
    )


@task
def clqa(
    topics: int = 400,
    variants: str = "",
    size: str = "long",
    seed: int = 0,
    prompts: str = "standard,instructed,explicit",
    judge: str = "rules",
    policy: str = "none",
    epsilon: float | None = None,
) -> Task:
    """Paragraphs in two languages, or twice in one, that answer an English question alike or not."""
    chosen = [parse_variant(one) for one in variants.split(",")] if variants else None
    drawn = of_clqa(items(topics, seed=seed, chosen=chosen, sizes=[size]))
    return conflicts(drawn, name="clqa", prompts=prompts, judge=judge, policy=policy, epsilon=epsilon)


@task
def clqa_mini(
    prompts: str = "standard,instructed,explicit",
    judge: str = "rules",
    policy: str = "none",
    epsilon: float | None = None,
) -> Task:
    """Three topics of CLQA in two sentences each, in English twice and in English and Spanish: a few minutes."""
    drawn = of_clqa(items(3, chosen=[("en", "en"), ("en", "es")], sizes=["short"]))
    return conflicts(drawn, name="clqa-mini", prompts=prompts, judge=judge, policy=policy, epsilon=epsilon)


def _sample(case: Case, prompt: str, said: PromptText, rebalance: Rebalance) -> Sample:
    kind = PROMPTS[prompt]
    request = AnswerRequest(spans=case.spans, question=case.question, prompt=kind, rebalance=rebalance)
    return Sample(
        id=f"{case.id}/{prompt}",
        input=[message(request, said)],
        target="conflict" if case.conflict else "consistent",
        metadata={
            "item": case.item,
            "variant": case.variant,
            "prompt": prompt,
            "conflict": case.conflict,
            "answers": list(case.answers),
            "asked": said.tasks[kind].replace(QUESTION, case.question).strip(),
        },
    )
