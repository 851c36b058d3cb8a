"""The words of prompts: English ones are what the shipped profile was fitted to, so they may not change unnoticed."""

import pytest

from xmguard.languages.english import English
from xmguard.prompt_text import PromptText
from xmguard.request import Prompt

ENGLISH = English.prompt_text


def test_the_english_prompt_is_the_one_that_profiles_were_fitted_to():
    assert ENGLISH.preamble == "Here are some sources.\n\n"
    assert ENGLISH.tasks == {
        Prompt.STANDARD: "\n\nUsing all of the sources above, answer this question in English.\n{question}",
        Prompt.INSTRUCTED: "\n\nUsing all of the sources above, answer this question in English. If the sources "
        "contradict each other, report the contradiction.\n{question}",
        Prompt.EXPLICIT: "\n\nWould each of the sources above lead to the same answer to the question "
        '"{question}"? Reply yes or no in English, then explain.',
    }
    assert ENGLISH.alone_task == "\n\nQuestion: {question}\nAnswer in English."
    assert ENGLISH.alone_opening == "Short answer:"


@pytest.mark.parametrize("task", ["", "no question", "{question} {question}", "{question} {", "{0} {question}"])
def test_a_task_holds_the_question_once_and_no_other_brace(task):
    with pytest.raises(ValueError, match="exactly once"):
        PromptText("", ENGLISH.tasks, task, "")
    with pytest.raises(ValueError, match="exactly once"):
        PromptText("", {**ENGLISH.tasks, Prompt.EXPLICIT: task}, ENGLISH.alone_task, "")


def test_every_prompt_has_a_task():
    with pytest.raises(ValueError, match="EXPLICIT"):
        PromptText("", {Prompt.STANDARD: "{question}", Prompt.INSTRUCTED: "{question}"}, ENGLISH.alone_task, "")
