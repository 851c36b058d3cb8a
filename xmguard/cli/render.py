"""Responses as tables and panels for a person. Shows what a response reports and derives nothing from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from xmguard.cli.terminal import ABSENT, printable
from xmguard.language_tags import UNDETERMINED_LANGUAGE
from xmguard.parts import TEXT
from xmguard.request import Scope
from xmguard.response import (
    ConflictVerdict,
    Decision,
    FinishReason,
    Imbalance,
    LayerContribution,
    Quote,
    Rebalancing,
    SpanReport,
    Status,
    Usage,
)

MAX_QUOTE = 300
"""Characters of a quote that are shown; the response holds all of it."""
BAR_WIDTH = 6
"""Cells of the longest bar; the table must fit 80 columns."""

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"
_BEFORE, _AFTER = "dim", "cyan"
_DECISION_STYLES = {
    Decision.CONFLICT: "bold red",
    Decision.CONSISTENT: "bold green",
    Decision.UNDETERMINED: "bold yellow",
    Decision.UNSPECIFIED: "bold yellow",
}
_ENDS = {
    FinishReason.LENGTH: "stopped at max_tokens",
    FinishReason.ABSTAINED: "no answer was given because the sources disagree",
    FinishReason.CLOSED: "no answer was given because no verdict could be established",
}
# The answer itself names the field of the request, since it is the same for every kind of client.
_ALL_THE_SAME = '; for one all the same: ask --on-error open, or "onError": "ON_ERROR_OPEN" in the file'


def bar(value: float, largest: float, width: int = BAR_WIDTH) -> str:
    """A horizontal bar in eighths of a cell; `largest` fills the width."""
    if largest <= 0.0:
        return ""
    eighths = round(8 * width * min(max(value / largest, 0.0), 1.0))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def number(value: float | None, form: str = ".3f") -> str:
    """A number, or a dash for what is not known: an unknown is never shown as 0."""
    return ABSENT if value is None else format(value, form)


def percent(value: float | None) -> str:
    """A share in percent, or a dash."""
    return number(value, ".0%")


def spans_table(reports: Sequence[SpanReport], sources: Sequence[str], *, steered: bool) -> Table:
    """One row per span. `steered` adds a second line per cell, the forward pass under the bias.

    `sources` are the caller's labels in the same order; responses do not carry them. There is a column for what each
    span answers alone where the response says so.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    table.add_column("span", no_wrap=True, max_width=14, overflow="ellipsis")
    table.add_column("kind", no_wrap=True)
    table.add_column("contribution", no_wrap=True)
    for heading in ("share", "attn", "bias"):
        table.add_column(heading, justify="right", no_wrap=True)
    answers = any(report.answer_alone for report in reports)
    if answers:
        table.add_column("answer alone", overflow="fold", ratio=1)
    values = [value for r in reports for value in (r.contribution_before, r.contribution_after) if value is not None]
    largest = max(values, default=0.0)
    for index, report in enumerate(reports):
        source = sources[index] if index < len(sources) else ""
        table.add_row(
            _lines((report.span_id, "bold"), (source, _BEFORE)),
            _lines((_kind(report), ""), (f"{report.tokens or ABSENT} tok", _BEFORE)),
            _pair(
                _bar_cell(report.contribution_before, largest), _bar_cell(report.contribution_after, largest), steered
            ),
            _pair(percent(report.share_before), percent(report.share_after), steered),
            _pair(percent(report.attention_before), percent(report.attention_after), steered),
            Text(number(report.bias, "+.2f") if report.bias else "·", style=_AFTER if report.bias else _BEFORE),
            *([Text(printable(report.answer_alone) or ABSENT)] if answers else []),
        )
    return table


def _kind(report: SpanReport) -> str:
    """Modality and language; the modality alone where no language is known of what is no text, as of a picture."""
    if report.modality != TEXT and report.language == UNDETERMINED_LANGUAGE:
        return report.modality
    return f"{report.modality}/{report.language}"


def layers_lines(reports: Sequence[SpanReport]) -> list[Text]:
    """Contribution by depth: one row of bars per span, first layer to last, mean over heads."""
    rows = [(report.span_id, _head_means(report.layers)) for report in reports if report.layers]
    largest = max((value for _, means in rows for value in means), default=0.0)
    heading = Text("contribution by layer, first to last", style=_BEFORE)
    return [heading, *(_labelled(span, _spark(means, largest)) for span, means in rows)]


def verdict_panel(verdict: ConflictVerdict) -> Panel:
    """Decision, probability, how far to trust it, the reason, who says what, and where it stands."""
    style = _DECISION_STYLES[verdict.decision]
    head = Text(verdict.decision.name, style=style)
    if verdict.probability is not None:
        head.append(f"  p(conflict) = {verdict.probability:.2f}", style="default")
        fitted = "true" if verdict.calibrated else "false, not fitted to this model and request"
        head.append(f"  calibrated: {fitted}", _BEFORE)
    if verdict.status is not Status.OK:
        head.append(f"  check {verdict.status.name}", style="yellow")
    lines: list[RenderableType] = [head]
    if verdict.reason:
        lines.append(Text(printable(verdict.reason)))
    for group in verdict.groups:
        who = ", ".join(group.span_ids)
        lines.append(Text.assemble((f"{printable(who)}: ", "bold"), printable(group.answer) or ABSENT))
    for span_id, quote in _quotes(verdict).items():
        lines.append(_labelled(f"where {printable(span_id)} says so", f"“{_on_one_line(quote.text)}”"))
    return Panel(Group(*lines), title="verdict", title_align="left", border_style=style.split()[-1], box=box.ROUNDED)


def imbalance_line(imbalance: Imbalance, *, steered: bool) -> Text:
    """How unevenly the spans were used."""
    if imbalance.log_ratio_before is None:
        return _labelled("imbalance", "not defined: it takes two spans that both contribute")
    parts = [f"log ratio {_change(imbalance.log_ratio_before, imbalance.log_ratio_after, steered)}"]
    if imbalance.log_ratio_per_token_before is not None:
        per_token = _change(imbalance.log_ratio_per_token_before, imbalance.log_ratio_per_token_after, steered)
        parts.append(f"per token {per_token}")
    when = " before" if steered else ""
    if imbalance.under_attended:
        parts.append(f"least{when} {imbalance.under_attended}")
    if imbalance.over_attended:
        parts.append(f"most{when} {imbalance.over_attended}")
    if imbalance.rest_share_before is not None:
        rest = percent(imbalance.rest_share_before)
        if steered and imbalance.rest_share_after is not None:
            rest += f" → {percent(imbalance.rest_share_after)}"
        parts.append(f"rest of the prompt {rest}")
    return _labelled("imbalance", ", ".join(parts))


def rebalancing_line(rebalancing: Rebalancing) -> Text:
    """What was done to the attention, or why nothing was."""
    done = "applied" if rebalancing.applied else "not applied"
    scope = "" if rebalancing.scope is Scope.UNSPECIFIED else f", scope {rebalancing.scope.name.lower()}"
    reason = f": {rebalancing.reason}" if rebalancing.reason else ""
    return _labelled("rebalancing", f"policy {rebalancing.policy or 'none'} {done}{scope}{reason}")


def ending(finish: FinishReason) -> str:
    """Why an answer is shorter than the model's own; empty when it is not."""
    return _ENDS.get(finish, "")


def closing_lines(
    usage: Usage, warnings: Iterable[str], finish: FinishReason = FinishReason.STOP, unbiased: str = ""
) -> list[Text]:
    """What comes after an answer: how it ended, the answer without bias, cost, warnings."""
    lines = []
    if finish in _ENDS:
        lines.append(_labelled("end", ending(finish) + (_ALL_THE_SAME if finish is FinishReason.CLOSED else "")))
    if unbiased:
        lines.append(_labelled("without bias", unbiased))
    cost = f"{usage.prompt_tokens} prompt + {usage.completion_tokens} answer + {usage.evidence_tokens} evidence tokens"
    lines.append(_labelled("usage", f"{cost}, {usage.seconds:.1f} s"))
    lines.extend(Text(f"warning: {printable(warning)}", style="yellow") for warning in warnings)
    return lines


def _quotes(verdict: ConflictVerdict) -> dict[str, Quote]:
    """Span id to its quote: a span has the same one in every disagreement."""
    quotes: dict[str, Quote] = {}
    for pair in verdict.disagreements:
        for span_id, quote in ((pair.span_a, pair.evidence_a), (pair.span_b, pair.evidence_b)):
            if quote is not None:
                quotes[span_id] = quote
    return quotes


def _on_one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_QUOTE else line[: MAX_QUOTE - 1] + "…"


def _labelled(label: str, text: str) -> Text:
    return Text.assemble((f"{label}: ", _BEFORE), printable(text))


def _lines(*parts: tuple[str, str]) -> Text:
    return Text("\n").join(Text(printable(text), style=style) for text, style in parts if text)


def _pair(before: str, after: str, steered: bool) -> Text:
    return _lines((before, _BEFORE), (after, _AFTER)) if steered else Text(before)


def _bar_cell(value: float | None, largest: float) -> str:
    return number(value) if value is None else f"{bar(value, largest):<{BAR_WIDTH}} {number(value)}"


def _change(before: float | None, after: float | None, steered: bool) -> str:
    return f"{number(before, '.2f')} → {number(after, '.2f')}" if steered else number(before, ".2f")


def _head_means(layers: Sequence[LayerContribution]) -> list[float]:
    heads = [layer.heads_after or layer.heads_before for layer in layers]
    return [sum(values) / len(values) if values else 0.0 for values in heads]


def _spark(values: Sequence[float], largest: float) -> str:
    if largest <= 0.0:
        return ""
    return "".join(_HEIGHTS[min(int(len(_HEIGHTS) * value / largest), len(_HEIGHTS) - 1)] for value in values)
