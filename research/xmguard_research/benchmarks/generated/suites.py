"""What was generated, as suites. Knows neither models nor prompts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.clqa.files import read
from xmguard_research.benchmarks.clqa.suites import of_items
from xmguard_research.benchmarks.settings import listed
from xmguard_research.benchmarks.tasks import suite


@suite
def clqa_generated(data: str = "", variants: str = "") -> Iterator[Case]:
    """News that a model invented, in two languages or one, from a file of `xmguard_research.benchmarks.generated`."""
    if not Path(data).is_file():
        made = "python -m xmguard_research.benchmarks.generated --out FILE makes one"
        raise InvalidRequest.field("data", f"{data} is not there; {made}" if data else f"is missing; {made}")
    wanted = listed(variants)
    found = [item for item in read(Path(data)) if not wanted or item.variant in wanted]
    if not found:
        raise InvalidRequest.field("variants", f"{data} has no item of {', '.join(wanted) or 'any variant'}")
    return of_items(found)
