"""How a prompt puts a question to the model, in one language.

Pure values: the wording is a language plugin's, what a chat template makes of it is an engine's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xmguard.request import Prompt

QUESTION = "{question}"
"""Where the question goes: exactly once in every task. Text around it holds no other braces."""


@dataclass(frozen=True)
class PromptText:
    """The words around sources and question, and those that say in which language to answer."""

    preamble: str
    """Before the first source."""
    tasks: Mapping[Prompt, str]
    """After the last source: how the joint answer is asked for (the three prompts of the paper's section D)."""
    alone_task: str
    """How a span read alone is asked; the same under every prompt: the verdict does not depend on the prompt."""
    alone_opening: str
    """Put into the model's mouth when a span is read alone: small models then name the answer instead of talking of
    it."""
    separator: str = "\n\n"
    """Between two sources."""

    def __post_init__(self) -> None:
        """Raises ValueError: a prompt has no task, or a task does not hold the question exactly once."""
        missing = [prompt.name for prompt in Prompt if prompt and prompt not in self.tasks]
        if missing:
            raise ValueError(f"there is no task for {', '.join(missing)}")
        for task in (*self.tasks.values(), self.alone_task):
            if task.count(QUESTION) != 1 or task.count("{") + task.count("}") != 2:
                raise ValueError(f"{task!r} does not hold {QUESTION} exactly once and no other brace")
