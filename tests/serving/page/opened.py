"""The live page as tests open it, and a guard that has everything to tell."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from xmguard.deadline import Stop
from xmguard.request import AnswerRequest, Scope
from xmguard.response import (
    AnswerGroup,
    AnswerResponse,
    ConflictVerdict,
    Decision,
    Delta,
    Disagreement,
    Done,
    Event,
    FinishReason,
    Imbalance,
    LayerContribution,
    Quote,
    Rebalancing,
    SpanReport,
    Started,
    Status,
    Usage,
)

HOSTILE = '</script><img src="https://example.org/x.png" onerror="window.hacked = 1"><b>{{ 7 * 7 }}</b>&amp; <!--'
ANSWER = "s1 says 8:15, s2 says 9:40."


def telling(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
    """A guard that has everything to tell: layers, quotes, groups, warnings, and what a bias did."""
    bias = request.rebalance.bias
    before = [0.4 / (index + 1) for index in range(len(request.spans))]
    weights = [math.exp(min(0.0, bias.get(span.id, 0.0))) for span in request.spans]
    after = [share * weight for share, weight in zip(before, weights, strict=True)]
    spans = tuple(
        SpanReport(
            span.id,
            "image" if span.media else "text",
            span.language or "en",
            tokens=20,
            contribution_before=3 * before[index],
            contribution_after=3 * after[index],
            share_before=before[index],
            share_after=after[index],
            bias=bias.get(span.id) if bias else None,
            answer_alone=f"{HOSTILE} {index}",
            layers=tuple(
                LayerContribution(layer, (before[index] * layer, 0.0), (after[index] * layer, 0.0))
                for layer in range(5)
            ),
        )
        for index, span in enumerate(request.spans)
    )
    yield Started("", spans)
    said = request.spans[0].text or ""
    quote = Quote(said[2:7], 2, 7)
    verdict = ConflictVerdict(
        Decision.CONFLICT,
        0.87,
        Status.OK,
        f"they differ {HOSTILE}",
        (Disagreement("s1", "s2", "8:15", "9:40", 0.87, quote),),
        groups=(AnswerGroup("8:15", ("s1",)), AnswerGroup(HOSTILE, ("s2",))),
    )
    yield verdict
    yield Delta(ANSWER)
    yield Done(
        AnswerResponse(
            answer=ANSWER + HOSTILE,
            verdict=verdict,
            spans=spans,
            imbalance=Imbalance(math.log(2), math.log(1.5), "s2", log_ratio_per_token_before=0.3, over_attended="s1"),
            rebalancing=Rebalancing(bool(bias), request.rebalance.policy, "as asked", Scope.READERS),
            usage=Usage(prompt_tokens=40, completion_tokens=3, seconds=1.25),
            warnings=(f"spans[1].language: {HOSTILE}",),
            unbiased_answer="something else" if bias else "",
            finish_reason=FinishReason.STOP,
        )
    )


class Page:
    """A page in the browser, and what it complained of and asked for."""

    def __init__(self, browser: Any, url: str, **context: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.tab = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.tab.on("console", lambda said: self.complaints.append(said.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.url = url
        self.tab.goto(f"{url}/ui/")

    def example(self) -> None:
        self.tab.get_by_role("button", name="Two notices that disagree").click()

    def ask(self) -> None:
        self.tab.get_by_role("button", name="Ask", exact=True).click()

    def close(self) -> None:
        """Nothing ran that was only text, nothing failed, and nothing was asked of anybody else."""
        assert self.tab.evaluate("window.hacked") is None
        assert self.complaints == []
        assert {url for url in self.asked if not url.startswith((f"{self.url}/ui/", "data:", "blob:"))} == set()
        self.context.close()
