"""In which words a suite asks: xmguard's own, or those of the paper's structure (sections D and E.2).

The paper's structure has nothing around the sources, a source per line, and the question in English after them. The
words are ours; a file replaces them. Values and their reading. Knows no model and no judge.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from xmguard.errors import InvalidRequest
from xmguard.languages.english.prompts import PROMPT_TEXT
from xmguard.prompt_text import QUESTION, PromptText
from xmguard.request import Prompt

OWN = "xmguard"
PAPER = "paper"
PROTOCOLS = (OWN, PAPER)
FIGURE_5 = "figure5"
PAIRINGS = ("", FIGURE_5)

PROMPTS = {"standard": Prompt.STANDARD, "instructed": Prompt.INSTRUCTED, "explicit": Prompt.EXPLICIT}
_REQUIRED = ("preamble", *PROMPTS)
_DEFAULTS = {
    "separator": "\n",
    "alone_task": PROMPT_TEXT.alone_task,
    "alone_opening": PROMPT_TEXT.alone_opening,
}
"""What a file may leave out. The verdict, which the paper has not, asks as it always does."""
_KNOWN = (*_REQUIRED, *_DEFAULTS)
_ASKING = (*PROMPTS, "alone_task")
_SLOT = re.compile(r"\{[^{}]*\}|[{}]")

_ANSWER = "\nConsider all of the paragraphs and answer this in English.\n"
_SCENE = "\nWhat you find above shows or describes a scene.\nAnswer this about it.\n"
_REPORT = "If you find that they contradict each other, report it.\n"
PARAGRAPHS = PromptText(
    preamble="Read the following texts.\n",
    tasks={
        Prompt.STANDARD: f"{_ANSWER}{QUESTION}",
        Prompt.INSTRUCTED: f"{_ANSWER}{_REPORT}{QUESTION}",
        Prompt.EXPLICIT: f"{_ANSWER}Is the answer to the question '{QUESTION}' the same in each paragraph above?",
    },
    alone_task=PROMPT_TEXT.alone_task,
    alone_opening=PROMPT_TEXT.alone_opening,
    separator="\n",
)
"""Structure of the paper's prompt for CLQA."""
SCENE = PromptText(
    preamble="",
    tasks={
        Prompt.STANDARD: f"{_SCENE}{QUESTION}",
        Prompt.INSTRUCTED: f"{_SCENE}{_REPORT}{QUESTION}",
        Prompt.EXPLICIT: f"{_SCENE}Is the answer to the question '{QUESTION}' the same in each of them?",
    },
    alone_task=PROMPT_TEXT.alone_task,
    alone_opening=PROMPT_TEXT.alone_opening,
    separator="\n",
)
"""Structure of the paper's prompt for CMQA."""


@dataclass(frozen=True)
class Wording:
    """The words of one protocol, for paragraphs and for what shows or describes a scene."""

    paragraphs: PromptText
    scene: PromptText
    origin: str = ""
    """The file they are from, and its version; empty for ours."""

    def of(self, scene: bool) -> PromptText:
        """The words for one case."""
        return self.scene if scene else self.paragraphs


SHIPPED = Wording(PARAGRAPHS, SCENE)


def from_file(path: Path) -> Wording:
    """The words in a TOML or JSON file: `preamble`, `standard`, `instructed`, `explicit`, and perhaps `separator`.

    They are those of one prompt, whatever the sources are.

    Raises:
        InvalidRequest: it cannot be read, or something in it is missing or superfluous; everything is named.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:  # both formats' errors and that of the encoding are ValueErrors
        raise InvalidRequest.field("prompt_file", f"{path} cannot be read as TOML or .json: {error}") from error
    said = from_words(found, str(path))
    return Wording(said, said, f"{path.name} {sha256(text.encode()).hexdigest()[:12]}")


def from_words(found: Any, origin: str) -> PromptText:
    """Words by name as a prompt's text.

    Raises:
        InvalidRequest: naming every word that is missing or unknown, and every slot that is.
    """
    given: dict[str, Any] = dict(found) if isinstance(found, Mapping) else {}
    words = {name: text for name, text in (_DEFAULTS | given).items() if name in _KNOWN}
    faults = [f"{name} is missing" for name in _REQUIRED if name not in words]
    faults += [f"{name} is not known; known: {', '.join(_KNOWN)}" for name in given if name not in _KNOWN]
    for name, text in words.items():
        faults += _slots(name, text) if isinstance(text, str) else [f"{name} must be text"]
    if faults:
        raise InvalidRequest.field("prompt_file", f"{origin}: {'; '.join(faults)}")
    tasks = {prompt: words[name] for name, prompt in PROMPTS.items()}
    return PromptText(words["preamble"], tasks, words["alone_task"], words["alone_opening"], words["separator"])


def to_words(said: PromptText) -> dict[str, str]:
    """The reverse of `from_words`."""
    rest = {name: getattr(said, name) for name in _KNOWN if name not in PROMPTS}
    return {name: said.tasks[prompt] for name, prompt in PROMPTS.items()} | rest


def _slots(name: str, text: str) -> list[str]:
    """What is wrong with the slots of a text: a task has the question's, once; the rest has none."""
    wanted = [QUESTION] if name in _ASKING else []
    found = _SLOT.findall(text)
    faults = [f"{name}: {slot} is no slot of it" for slot in found if slot not in wanted]
    if wanted and found.count(QUESTION) != 1:
        faults.append(f"{name}: slot {QUESTION} is {'there twice' if QUESTION in found else 'missing'}")
    return faults
