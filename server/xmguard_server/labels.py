"""The closed sets that labels of metrics come from: what is not in a set is `other`.

No request, span or caller is ever a label. Sets that plugins can grow are cut, so that whatever is installed, and
whatever callers send, all series of one server stay below 500. Knows no metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xmguard.errors import FieldViolation
from xmguard.language_tags import UNDETERMINED_LANGUAGE
from xmguard.plugins import Registry
from xmguard.response import SpanReport

OTHER = "other"
UNKNOWN = "unknown"
TEXT = "text"
LANGUAGES = frozenset(("ar", "de", "en", "es", "fr", "is", "it", "ja", "pt", "ru", "tr", "zh"))
"""BCP-47 primary tags with a label of their own. Spans come in languages that no plugin is installed for."""
MODALITIES = 2
"""Modalities with a label of their own: text, then pictures, then others by name."""
POLICIES = 7
"""Policies with a label of their own, in the order of the registry: the built-in ones come first."""
IMAGE_REJECTIONS = ("media_type", "data", "number")
"""What is wrong with pictures that are not taken: their kind, their content or size, or that there are too many."""


class Labels:
    """Values of labels, for what is installed."""

    def __init__(self, plugins: Registry) -> None:
        names = sorted(plugins.modalities.names(), key=lambda name: (name != TEXT, name != "image", name))
        self.modalities = frozenset(names[:MODALITIES])
        self._policies = frozenset(tuple(plugins.policies.names())[:POLICIES])

    def modality_pair(self, spans: Sequence[SpanReport]) -> str:
        """Of two or more spans: their one modality twice, or their two; `single` of one."""
        distinct = sorted({span.modality for span in spans})
        if len(spans) < 2:
            return "single"
        if len(distinct) > 2 or not self.modalities.issuperset(distinct):
            return OTHER
        return f"{distinct[0]}-{distinct[-1]}"

    def span(self, span: SpanReport) -> tuple[str, str]:
        """Modality and language of one span; only texts have a language."""
        modality = _fold(span.modality, self.modalities)
        return modality, _fold(_primary(span), LANGUAGES | {UNKNOWN}) if modality == TEXT else UNKNOWN

    def policy(self, name: str) -> str:
        """A rebalancing policy."""
        return _fold(name, self._policies)


def language_pair(spans: Iterable[SpanReport]) -> str:
    """Whether spans share a language; `unknown` unless that of every one is known."""
    # Compared before they are folded: two languages without a label of their own are two languages all the same.
    distinct = {_primary(span) for span in spans}
    if UNKNOWN in distinct:
        return UNKNOWN
    return "same" if len(distinct) < 2 else "cross"


def image_rejections(violations: Iterable[FieldViolation]) -> Iterable[str]:
    """What is wrong with the pictures of a request, once for each violation that is about one."""
    for violation in violations:
        _, media, field = violation.field.partition(".media")
        if media:
            yield "media_type" if field == ".media_type" else "data"
        elif violation.field == "spans" and " media; " in violation.description:
            yield "number"


def _fold(name: str, known: frozenset[str]) -> str:
    return name if name in known else OTHER


def _primary(span: SpanReport) -> str:
    tag = span.language.lower().split("-")[0]
    return UNKNOWN if tag in ("", UNDETERMINED_LANGUAGE) else tag
