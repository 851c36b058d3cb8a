"""What the languages of a request's texts are, and what to tell a caller about them.

The caller's tag is always kept: a text that looks like another language is a warning. Knows no detector by name.
"""

from __future__ import annotations

from xmguard.context import ENGLISH, Context, ContextSpan
from xmguard.plugins import Registry

UNDETERMINED_LANGUAGE = "und"
"""BCP-47's own tag for a language that is not known."""
DETECTED_CHARACTERS = 2000
"""How much of a text is looked at to tell its language."""
RELIABLE_LETTERS = 24
"""A text with fewer letters neither contradicts its tag nor sets the language of the prompt.

tests/unit/test_language_tags.py: from here on no beginning of its sentences is taken for another language.
"""
RELIABLE_SIGNS = 6
"""The same for Chinese and Japanese, whose script leaves less to guess."""
_WRITTEN_IN_SIGNS = ("zh", "ja")


def language_of(text: str, registry: Registry) -> str:
    """BCP-47 tag of a text without a label, as far as a plugin recognises it; `und` otherwise."""
    return (registry.detect_language(text[:DETECTED_CHARACTERS]) if text else None) or UNDETERMINED_LANGUAGE


def question_language(question: str, registry: Registry) -> str:
    """Tag of the language that a question is in, where that is clear; English otherwise."""
    return _clearly(question, registry) or ENGLISH


def answered_in(written: str, registry: Registry) -> str:
    """Tag of the language to put a question in that is `written` in one: that one if it has a plugin, or English."""
    language = registry.language(written)
    return ENGLISH if language is None else language.tag.lower()


def asked_in(question: str, registry: Registry) -> str:
    """Tag of the language to ask in: the question's, where that is clear and has a plugin; English otherwise."""
    return answered_in(question_language(question, registry), registry)


def language_warnings(context: Context, registry: Registry) -> list[str]:
    """What a caller should know: languages not recognised, contradicted tags, a question that is not English."""
    unknown = [span.id for span in context.spans if span.span.text and span.language == UNDETERMINED_LANGUAGE]
    warnings = []
    if unknown:
        warnings.append(f"language of {', '.join(unknown)} was not recognised; say it in spans[].language")
    for index, span in enumerate(context.spans):
        if found := _contradiction(span, registry):
            said = span.span.language
            warnings.append(
                f"spans[{index}].language: {span.id} is labelled {said!r} but reads as {found!r}; {said!r} is kept"
            )
    if context.asked_in != ENGLISH:
        warnings.append(
            f"question: reads as {context.asked_in!r}, so it is put and answered in that language; profiles are fitted "
            "to questions in English"
        )
    elif context.question_language != ENGLISH:
        warnings.append(
            f"question: reads as {context.question_language!r}, which has no plugin, so it is answered in English; "
            "profiles are fitted to questions in English"
        )
    return warnings


def _contradiction(span: ContextSpan, registry: Registry) -> str:
    """The language a span reads as, if that is clear and its own tag names another one that has a plugin."""
    said = registry.language(span.span.language) if span.span.language else None
    found = _clearly(span.span.text or "", registry)
    return "" if said is None or found is None or registry.language(found) is said else found


def _clearly(text: str, registry: Registry) -> str | None:
    """The language of a text that is long enough to tell."""
    letters = sum(character.isalpha() for character in text[:DETECTED_CHARACTERS])
    if letters < RELIABLE_SIGNS:
        return None
    found = language_of(text, registry)
    enough = letters >= (RELIABLE_SIGNS if found in _WRITTEN_IN_SIGNS else RELIABLE_LETTERS)
    return found if enough and found != UNDETERMINED_LANGUAGE else None
