"""A question over sources as it is served, with its reply, as an item. Knows neither events nor scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xmguard.languages.english.prompts import PROMPT_TEXT
from xmguard.prompt_text import QUESTION
from xmguard.request import Prompt

Record = dict[str, Any]


def item(
    name: str,
    sources: Sequence[tuple[Record, str | None]],
    question: str,
    prompt: Prompt,
    reply: str,
    meta: Mapping[str, Any],
) -> Record:
    """An item: every source is a part of its own, and the task is the last.

    Args:
        name: its id.
        sources: each as a part of a message, and what it answers in English; None if it does not answer.
        question: in English.
        prompt: how it is asked.
        reply: in English.
        meta: what is said of it beside question, prompt and answers.
    """
    parts = [text(PROMPT_TEXT.preamble)]
    for index, (source, _) in enumerate(sources):
        parts += [text(PROMPT_TEXT.separator), source] if index else [source]
    parts.append(text(PROMPT_TEXT.tasks[prompt].replace(QUESTION, question)))
    answers = [answer for _, answer in sources]
    given = [answer for answer in answers if answer is not None]
    about = {
        "question": question,
        "prompt": prompt.name.lower(),
        "answers": answers,
        "answer": given[0] if given else None,
        "conflict": len(set(given)) > 1,
        **meta,
    }
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": reply}]
    return {"id": name, "messages": messages, "meta": about}


def text(said: str) -> Record:
    """A part of a message."""
    return {"type": "text", "text": said}
