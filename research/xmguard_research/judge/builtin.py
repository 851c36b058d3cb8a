"""The judges of this package, offered through the same hook as a plugin's. Light to import."""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.hookspecs import hookimpl
from xmguard.providers import JudgeProvider


@hookimpl
def xmguard_judges() -> Iterable[JudgeProvider]:
    """A set of rules, a language model behind an endpoint, and the guard's own reading of an answer."""
    return [
        JudgeProvider("rules", "phrases in seven languages, offline", "xmguard_research.judge.rules:make"),
        JudgeProvider("openai", "a model behind an OpenAI-compatible endpoint", "xmguard_research.judge.endpoint:make"),
        JudgeProvider("guard", "what the language plugins recognise", "xmguard_research.judge.guards_own:make"),
    ]
