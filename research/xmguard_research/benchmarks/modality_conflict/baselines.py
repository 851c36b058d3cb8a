"""How far each modality alone is read without understanding: by position in the text, by shape in the picture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from xmguard_research.benchmarks.cards import Baselines
from xmguard_research.benchmarks.modality_conflict.items import TIERS, Drawn, Item
from xmguard_research.scenes.concepts import COLOURS

_COLOUR = re.compile(rf"\b(?:{'|'.join(COLOURS)})\b")


def _followed(text: str) -> str:
    """Follows the template's references from the first sentence on."""
    sentences = [one.strip(". ") for one in text.split(". ")]
    subject, said = "", sentences[0]
    while " has the colour of " in said:
        subject = said.split(" has the colour of ")[1]
        said = next(one for one in sentences if one.startswith(subject))
    return str(_COLOUR.findall(said)[0])


READERS: Mapping[str, Callable[[str], str]] = {
    "first colour named": lambda text: _COLOUR.findall(text)[0],
    "last colour named": lambda text: _COLOUR.findall(text)[-1],
    "the template's references followed": _followed,
}
VIEWERS: Mapping[str, Callable[[Sequence[Drawn], str], str]] = {
    "most frequent colour": lambda shown, shape: Counter(one.colour for one in shown).most_common(1)[0][0],
    "the shape's colour, from the values": lambda shown, shape: next(one.colour for one in shown if one.shape == shape),
}


def table(drawn: Sequence[Item]) -> Baselines:
    """Share of the items that are right by each rule in each tier, from one modality."""
    majority = Counter(item.colours[1] for item in drawn).most_common(1)[0][0]
    rows = [["modality", "rule", *TIERS]]
    rows.append(["either", "the most frequent answer", *[_share(item.colours[1] == majority for item in drawn)] * 3])
    for name, reader in READERS.items():
        right = [[reader(item.told(tier, item.colours[1])) == item.colours[1] for item in drawn] for tier in TIERS]
        rows.append(["text", name, *map(_share, right)])
    for name, viewer in VIEWERS.items():
        right = [[viewer(item.shown(tier), item.shape) == item.colours[0] for item in drawn] for tier in TIERS]
        rows.append(["image", name, *map(_share, right)])
    return rows


def _share(right: Iterable[bool]) -> str:
    said = list(right)
    return f"{sum(said) / len(said):.2f}"
