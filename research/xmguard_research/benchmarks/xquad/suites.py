"""XQuAD's questions over paragraphs that contradict each other, as a suite. Knows neither models nor prompts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.settings import listed
from xmguard_research.benchmarks.tasks import suite
from xmguard_research.benchmarks.xquad.conflicts import cases, chosen
from xmguard_research.benchmarks.xquad.parallel import read


@suite
def xquad_conflict(data: str = "", variants: str = "", seed: int = 0) -> Iterator[Case]:
    """Paragraphs of Wikipedia, in two languages or twice in one, with the answer replaced in one of them."""
    rows = read(Path(data))
    return (case for pair in chosen(rows, listed(variants)) for case in cases(rows, pair, seed=seed))
