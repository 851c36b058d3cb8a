"""From spans to the parts that their modalities make of them, and what is said of a picture that no one reads.

Knows no tokens and no engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xmguard.context import Context, ContextSpan
from xmguard.contracts import Modality
from xmguard.errors import FieldViolation, InvalidRequest, ModalityNotSupported, PluginError
from xmguard.parts import IMAGE, Part, TextPart
from xmguard.plugins import Registry


def span_parts(context: Context, registry: Registry) -> list[tuple[str, Sequence[Part]]]:
    """Id and parts of every span, in order.

    Raises:
        InvalidRequest: naming every span whose content its modality refuses.
        PluginError: a modality says that a part is cut from where the span's text reads differently.
    """
    parts: list[tuple[str, Sequence[Part]]] = []
    refusals: list[InvalidRequest] = []
    for index, span in enumerate(context.spans):
        try:
            parts.append((span.id, _parts(registry.modalities.items[span.modality], span, f"spans[{index}]")))
        except InvalidRequest as error:
            refusals.append(error)
    if refusals:
        violations = [violation for error in refusals for violation in error.violations]
        raise InvalidRequest(violations, reason=refusals[0].reason) from refusals[0]
    return parts


def refuse_pictures(pictures: Iterable[int], registry: Registry) -> None:
    """Refuse the spans at some indices, which hold pictures, for a model that reads none.

    Raises:
        ModalityNotSupported: naming each of them, and models that read pictures; if there are any.
    """
    able = [source.name for source in registry.models if IMAGE in source.modalities]
    known = f"models that do: {', '.join(able)}" if able else "no model known here by name does"
    said = f"is a picture, and the served model reads none; {known}"
    violations = [FieldViolation(f"spans[{index}].media", said) for index in pictures]
    if violations:
        message = f"{', '.join(violation.field for violation in violations)}: {said}"
        raise ModalityNotSupported(message, violations=violations)


def _parts(modality: Modality, span: ContextSpan, field: str) -> Sequence[Part]:
    """The span's parts; what the modality refuses is named from the request, not from the span."""
    try:
        parts = modality.parts(span)
    except InvalidRequest as error:
        raise InvalidRequest(
            [FieldViolation(f"{field}.{v.field}", v.description) for v in error.violations], reason=error.reason
        ) from error
    text = span.span.text or ""
    for part in parts:
        if (
            isinstance(part, TextPart)
            and part.start is not None
            and text[part.start : part.start + len(part.text)] != part.text
        ):
            raise PluginError(f"modality {modality.name!r}: a part of {field} does not read as the text it is cut from")
    return parts
