"""The guard's own reading as a judge: any installed language plugin takes the response to report a conflict.

For comparison. A response of the guard is better not judged by what the guard itself goes by.
"""

from __future__ import annotations

from collections.abc import Sequence

from xmguard.contracts import Language
from xmguard_research.judge.settings import JudgeSettings, with_judges
from xmguard_research.judge.values import Exchange, Judgement, Status


def make(settings: JudgeSettings) -> GuardsOwnJudge:
    """The judge `guard`.

    Raises:
        InvalidRequest: anything is set.
    """
    settings.only("guard")
    return GuardsOwnJudge(tuple(with_judges().languages))


class GuardsOwnJudge:
    """Asks every language, as a guard does that is not told the language of an answer."""

    name = "guard"

    def __init__(self, languages: Sequence[Language]) -> None:
        self._languages = languages
        self.produced_by = f"guard {' '.join(one.tag for one in languages)}"

    def judge(self, exchange: Exchange) -> Judgement:
        """A plugin that fails is a judgement of status ERROR."""
        try:
            said = [one.name for one in self._languages if one.reports_conflict(exchange.response)]
        except Exception as error:  # a plugin may raise anything
            return Judgement(Status.ERROR, None, f"{type(error).__name__}: {error}")
        return Judgement(Status.PARSED, bool(said), ", ".join(said))
