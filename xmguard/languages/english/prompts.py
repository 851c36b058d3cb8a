"""The words in which English prompts ask. A model's profile is fitted to them: another word is another model."""

from __future__ import annotations

from xmguard.prompt_text import PromptText
from xmguard.request import Prompt

PROMPT_TEXT = PromptText(
    preamble="Here are some sources.\n\n",
    tasks={
        Prompt.STANDARD: "\n\nUsing all of the sources above, answer this question in English.\n{question}",
        Prompt.INSTRUCTED: (
            "\n\nUsing all of the sources above, answer this question in English. "
            "If the sources contradict each other, report the contradiction.\n{question}"
        ),
        Prompt.EXPLICIT: (
            '\n\nWould each of the sources above lead to the same answer to the question "{question}"? '
            "Reply yes or no in English, then explain."
        ),
    },
    alone_task="\n\nQuestion: {question}\nAnswer in English.",
    alone_opening="Short answer:",
)
