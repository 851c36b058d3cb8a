"""A corpus: a folder of events, names and sentences in several languages, of which topics and paragraphs are made.

Knows no suite but the one whose texts lie beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable

from xmguard_research.benchmarks.clqa.events import Event, read_events
from xmguard_research.benchmarks.clqa.languages import ENGLISH, Language, read_language


@dataclass(frozen=True, eq=False)
class Corpus:
    """What can be told and in which words; each file is read once, when it is first needed."""

    texts: Traversable
    """With `events.toml`, `names.toml` and a file per language."""
    _languages: dict[str, Language] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def events(self) -> Mapping[str, Event]:
        """All of them by name, in the order in which topics take them.

        Raises:
            ValueError: the file does not describe events.
        """
        return read_events(self.texts)

    @property
    def english(self) -> Language:
        """The language of the questions, by whose spellings names and colours are kept."""
        return self.language(ENGLISH)

    def language(self, code: str) -> Language:
        """A language by its tag.

        Raises:
            ValueError: its file lacks something, or a sentence does not hold the slots it must hold.
        """
        if code not in self._languages:
            self._languages[code] = read_language(self.texts, code, self.events)
        return self._languages[code]


CLQA = Corpus(files("xmguard_research.benchmarks.clqa") / "texts")
"""The texts of the suite."""
