"""What does rebalancing break? Questions whose sources do not contradict each other, answered under each setting.

Two conditions: a *consistent* pair says the same twice, and an *irrelevant* one pairs a statement that answers the
question with one from another item. Accuracy is compared with that of policy `none` on the same questions; at most one
point may be lost.

An answer is right if the language plugin's normalised claim equals the gold answer's, or if it contains the gold answer
word for word, without regard to case. All settings of one question are decoded as one batch on one context, as the
guard reads it (standard prompt, greedy, scope READERS), without its verdict. Policies plan without the model's profile,
whose factors reach every bias: what is measured is the policy.

    python -m xmguard_research.harm --out harm.jsonl
    python -m xmguard_research.harm --setting "floor minimum=0.3 cap=1" --show 5
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from xmguard import Decoding, Guard, Prompt, Rebalance, Span, load_guard
from xmguard.bias import AttentionBias
from xmguard.context import Context, ContextSpan
from xmguard.contracts import Branch, Language
from xmguard.deadline import Stop
from xmguard.planning import plan_bias
from xmguard.request import Scope
from xmguard.verdict.equality import Agreement, compare
from xmguard_research.facts import Fact, facts
from xmguard_research.metrics import Estimate, accuracy_change
from xmguard_research.results import append, known, lines, producer

BASELINE = "none"
SETTINGS = (
    "fixed epsilon=1",
    "target share=0.1",
    "floor minimum=0.5",
    "soften temperature=2",
    "fixed epsilon=2",
)
"""A policy with its parameters each; the last one is a stress, stronger than anybody should ask for."""
CONDITIONS = ("consistent", "irrelevant")
BOTH = "both"
MAX_TOKENS = 24
ALLOWED_LOSS = 1.0
"""Points of accuracy."""


@dataclass(frozen=True)
class Question:
    """One question over two spans, with its answer."""

    item: str
    condition: str
    question: str
    statements: tuple[str, str]
    answer: str

    def key(self, setting: str) -> str:
        """Identifies the answer under a setting in a results file."""
        return "|".join((setting, self.item, self.condition, *self.statements))


@dataclass(frozen=True)
class Answered:
    """What was said under one setting."""

    key: str
    item: str
    condition: str
    setting: str
    gold: str
    answer: str
    right: bool
    applied: bool
    """Whether the policy planned a bias."""
    produced_by: str
    """Model hash, dtype and version; rows of another producer are not mixed in."""


def questions(items: Sequence[Fact]) -> list[Question]:
    """A consistent and an irrelevant pair for every item.

    The irrelevant statement is one of the next item, and stands first for every other item; which of an item's two
    statements is kept alternates as well.
    """
    made = []
    for index, fact in enumerate(items):
        other = items[(index + 1) % len(items)]
        pair = (fact.statements[index // 2 % 2], other.statements[index % 2])
        for condition, statements in zip(CONDITIONS, (fact.statements, pair[:: 1 if index % 2 else -1]), strict=True):
            made.append(Question(fact.item, condition, fact.question, (statements[0], statements[1]), fact.answer))
    return made


def from_statements(rows: Sequence[Mapping[str, Any]]) -> list[Fact]:
    """Items of a file of statements, with `id`, `question`, `answer` and `support` [2]."""
    return [
        Fact(str(row["id"]), row["question"], (row["support"][0], row["support"][1]), str(row["answer"]))
        for row in rows
    ]


def is_right(answer: str, gold: str, language: Language) -> bool:
    """Equal claims, or the gold answer word for word in the answer: "9:40" is in "at 9:40.", not in "19:40"."""
    if compare(language.normalize(answer), language.normalize(gold)) is Agreement.SAME:
        return True
    words = re.escape(gold.casefold().strip())
    return re.search(rf"(?<!\w)(?<!\d[.,:]){words}(?!\w|[.,:]\d)", answer.casefold()) is not None


def parse_setting(text: str) -> Rebalance:
    """`POLICY NAME=NUMBER ...`.

    Raises:
        typer.BadParameter: it is not of that form.
    """
    policy, *pairs = text.split()
    try:
        parameters = {name: float(number) for name, number in (pair.split("=", 1) for pair in pairs)}
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not POLICY NAME=NUMBER ..., for example: {SETTINGS[2]}") from error
    return Rebalance(policy, parameters, scope=Scope.READERS)


def answer(guard: Guard, question: Question, settings: Sequence[str]) -> list[Answered]:
    """Answer one question under every setting."""
    spans = tuple(
        ContextSpan(Span(f"s{number}", text), "text", "en") for number, text in enumerate(question.statements, start=1)
    )
    backend = guard.backend
    prompt = backend.encode(Context(spans, question.question), Prompt.STANDARD)
    session = backend.open(prompt, Stop())
    try:
        before = session.measure(Branch("before", prompt.joint_tail, AttentionBias(), measured=True, answers=True))
        biases = {}
        for setting in settings:
            wanted = parse_setting(setting)
            policy = guard.registry.policies.items[wanted.policy]
            biases[setting] = plan_bias(policy, before, wanted, None).bias
        branches = [
            Branch(setting, prompt.joint_tail, bias or AttentionBias(), answers=True)
            for setting, bias in biases.items()
        ]
        said: dict[str, list[int]] = {setting: [] for setting in settings}
        for token in session.decode(branches, dict.fromkeys(said, Decoding(max_tokens=MAX_TOKENS))):
            if not token.is_end:
                said[token.branch].append(token.id)
    finally:
        session.close()
    language = guard.registry.languages.items["en"]
    texts = {setting: backend.text(ids).strip() for setting, ids in said.items()}
    return [
        Answered(
            question.key(setting),
            question.item,
            question.condition,
            setting,
            question.answer,
            text,
            is_right(text, question.answer, language),
            biases[setting] is not None,
            producer(guard),
        )
        for setting, text in texts.items()
    ]


def gained_points(rows: Sequence[Answered], baseline: Sequence[Answered]) -> Estimate:
    """Accuracy minus the baseline's in points; `rows` and `baseline` answer the same questions in the same order."""
    return accuracy_change([row.right for row in rows], [row.right for row in baseline], [row.item for row in rows])


def main(
    data: Annotated[
        Path | None, typer.Option(help="JSONL of items with question, answer and support, in place of the invented.")
    ] = None,
    items: Annotated[int, typer.Option(help="How many items; each gives two questions.")] = 64,
    seed: Annotated[int, typer.Option(help="Which items are drawn.")] = 0,
    setting: Annotated[
        list[str] | None, typer.Option(metavar='"POLICY NAME=NUMBER"', help="In place of the usual settings.")
    ] = None,
    show: Annotated[int, typer.Option(help="How many answers that were right without a setting to show.")] = 0,
    model: Annotated[str, typer.Option(help="Model name or folder.")] = "smollm2",
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    out: Annotated[
        Path, typer.Option(help="Results, a line an answer; what is there already is not run again.")
    ] = Path("harm.jsonl"),
) -> None:
    """Measure what rebalancing breaks where sources do not contradict each other."""
    settings = [BASELINE, *(setting or SETTINGS)]
    for text in settings:
        parse_setting(text)
    pool = facts() if data is None else from_statements(list(lines(data)))
    order = np.random.default_rng(seed).permutation(len(pool))[:items]
    wanted = questions([pool[index] for index in sorted(order)])
    guard = load_guard(model, dtype=dtype)
    done = known(out, Answered, producer(guard))
    missing = [one for one in wanted if any(one.key(name) not in done for name in settings)]

    def measure(one: Question) -> list[Answered]:
        return answer(guard, one, [name for name in settings if one.key(name) not in done])

    done |= {row.key: row for row in append(out, missing, measure, "answering questions")}
    answered = {name: [done[one.key(name)] for one in wanted] for name in settings}
    console = Console()
    console.print(table(answered))
    console.print(f"more than {ALLOWED_LOSS:g} point lost: {', '.join(losers(answered)) or 'none'}", highlight=False)
    for line in _broken(answered, show):
        console.print(line, markup=False)


def table(answered: Mapping[str, Sequence[Answered]]) -> Table:
    """One row per setting and condition; `answered` has the same questions in the same order for every setting."""
    baseline = answered[BASELINE]
    title = f"{len(baseline)} questions, {len({row.item for row in baseline})} items"
    made = Table(title=title, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in ("setting", "condition", "right", "points", "95% CI", "changed"):
        made.add_column(column, no_wrap=True)
    for setting, rows in answered.items():
        for condition in (*CONDITIONS, BOTH):
            pairs = _under(condition, rows, baseline)
            mine, base = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            right = sum(row.right for row in mine) / len(mine)
            cells = [setting, condition, f"{right:.1%}"]
            if setting != BASELINE:
                points = gained_points(mine, base)
                changed = sum(row.answer != other.answer for row, other in pairs)
                cells += [f"{points.value:+.1f}", f"{points.low:+.1f} to {points.high:+.1f}", f"{changed}/{len(mine)}"]
            made.add_row(*cells, end_section=condition == BOTH)
    return made


def losers(answered: Mapping[str, Sequence[Answered]]) -> list[str]:
    """Settings that lose more than is allowed, with the condition."""
    baseline = answered[BASELINE]
    lost = []
    for setting, rows in answered.items():
        for condition in CONDITIONS:
            pairs = _under(condition, rows, baseline)
            points = gained_points([pair[0] for pair in pairs], [pair[1] for pair in pairs]).value
            if points is not None and points < -ALLOWED_LOSS:
                lost.append(f"{setting} ({condition})")
    return lost


def _under(condition: str, rows: Sequence[Answered], baseline: Sequence[Answered]) -> list[tuple[Answered, Answered]]:
    """Rows next to those of the baseline, of one condition or of both."""
    return [pair for pair in zip(rows, baseline, strict=True) if condition in (pair[0].condition, BOTH)]


def _broken(answered: Mapping[str, Sequence[Answered]], count: int) -> Iterator[str]:
    """Answers that were right without the setting and are not with it."""
    broken = [
        (row, base)
        for rows in answered.values()
        for row, base in zip(rows, answered[BASELINE], strict=True)
        if base.right and not row.right
    ]
    for row, base in broken[:count]:
        yield f"{row.setting}, {row.condition}, {row.item}: {row.gold!r} became {row.answer!r}, was {base.answer!r}"


if __name__ == "__main__":
    typer.run(main)
