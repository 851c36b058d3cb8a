"""Languages whose prompts can be put in other words for the time of one answer, by a model that is loaded once.

An engine takes the words from the language plugin of the question; here every plugin says what it is told to, so that
whatever language a question is taken for, the model reads those words. Knows no suite.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from xmguard.contracts import Language
from xmguard.plugins import Named, Registry
from xmguard.prompt_text import PromptText

_SAID: ContextVar[PromptText | None] = ContextVar("xmguard_research_said", default=None)


class _Reworded:
    """A language plugin in everything but its prompts."""

    def __init__(self, language: Language) -> None:
        self._language = language

    def __getattr__(self, name: str) -> Any:
        return getattr(self._language, name)

    @property
    def prompt_text(self) -> PromptText:
        return _SAID.get() or self._language.prompt_text


def rewordable(registry: Registry) -> Registry:
    """The same plugins; their prompts follow `said_in`."""
    languages: Named[Any] = registry.languages
    items = {tag: _Reworded(language) for tag, language in languages.items.items()}
    return replace(registry, languages=replace(languages, items=items))


@contextmanager
def said_in(said: PromptText | None) -> Iterator[None]:
    """Within it, prompts that this thread encodes are in these words; for None in the languages' own."""
    token = _SAID.set(said)
    try:
        yield
    finally:
        _SAID.reset(token)
