"""What was generated, as suites. Knows neither models nor prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from xmguard import Span
from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.clqa.files import read
from xmguard_research.benchmarks.clqa.languages import ENGLISH
from xmguard_research.benchmarks.clqa.suites import of_items
from xmguard_research.benchmarks.generated import pairs
from xmguard_research.benchmarks.generated.album import Album
from xmguard_research.benchmarks.settings import listed
from xmguard_research.benchmarks.tasks import suite
from xmguard_research.benchmarks.vqa.questions import picture_of


@suite
def clqa_generated(data: str = "", variants: str = "") -> Iterator[Case]:
    """News that a model invented, in two languages or one, from a file of `xmguard_research.benchmarks.generated`."""
    if not Path(data).is_file():
        made = "python -m xmguard_research.benchmarks.generated clqa --out FILE makes one"
        raise InvalidRequest.field("data", f"{data} is not there; {made}" if data else f"is missing; {made}")
    wanted = listed(variants)
    found = [item for item in read(Path(data)) if not wanted or item.variant in wanted]
    if not found:
        raise InvalidRequest.field("variants", f"{data} has no item of {', '.join(wanted) or 'any variant'}")
    return of_items(found)


@suite
def cmqa_generated(folder: str = "", variants: str = "") -> Iterator[Case]:
    """Photographs, descriptions and drawn pictures, from a folder of `xmguard_research.benchmarks.generated`."""
    if not folder or not (Path(folder) / pairs.FILE).is_file():
        made = "python -m xmguard_research.benchmarks.generated cmqa --out FOLDER makes it"
        raise InvalidRequest.field(
            "folder", f"{folder}/{pairs.FILE} is not there; {made}" if folder else f"is missing; {made}"
        )
    wanted = listed(variants)
    found = [item for item in pairs.read(Path(folder)) if not wanted or item.variant in wanted]
    if not found:
        raise InvalidRequest.field("variants", f"{folder} has no item of {', '.join(wanted) or 'any variant'}")
    return of_pairs(found, pairs.album(Path(folder)))


def of_pairs(items: Iterable[pairs.Item], album: Album) -> Iterator[Case]:
    """Items as cases; a picture is read, and compared with its name, when its case is asked for.

    Triples of one photograph are one item of the suite.

    Raises:
        InvalidRequest: a picture is not there, or another one.
    """
    for item in items:
        spans = tuple(_span(f"s{number}", source, album) for number, source in enumerate(item.sources, 1))
        yield Case(item.id, picture_of(item.triple), item.variant, item.question, spans, item.conflict, item.answers)


def _span(name: str, source: pairs.Source, album: Album) -> Span:
    if source.told:
        return Span(name, source.told.text, language=ENGLISH)
    try:
        return Span(name, media=album.media(source.picture))
    except ValueError as error:
        raise InvalidRequest.field("folder", f"{error}; the command that wrote it gets it again") from error
