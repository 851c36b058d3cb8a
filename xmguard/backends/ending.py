"""Whether a branch ends at a token. Knows nothing of how the token was chosen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from xmguard.contracts import Branch


class Ending:
    """Follows one branch that is being decoded."""

    def __init__(
        self,
        branch: Branch,
        *,
        end_ids: Collection[int],
        budget: int,
        text: Callable[[Sequence[int]], str],
    ) -> None:
        """Follow a branch.

        Args:
            branch: the branch.
            end_ids: tokens that end an answer.
            budget: tokens that it may say; it says one in any case.
            text: token ids to text, special tokens left out.
        """
        self.budget = max(1, budget)
        self._single_line = branch.single_line
        self._end_ids = end_ids
        self._text = text
        self._done = 0
        self._said = False  # whether a letter or digit has been generated; followed for single-line branches only
        self._unsaid: list[int] = []  # tokens up to there: a letter may take several, none of which is one by itself

    def at(self, token: int) -> tuple[bool, bool]:
        """Whether the next token is the last, and whether it is no part of the text (`Token.is_end`)."""
        self._done += 1
        line_ends, line_goes_on = self._line(token)
        is_end = token in self._end_ids or (line_ends and not line_goes_on)
        return is_end or line_ends or self._done >= self.budget, is_end

    def _line(self, token: int) -> tuple[bool, bool]:
        """Whether a single-line branch is over at this token, and whether the token still says something before it."""
        if not self._single_line:
            return False, False
        text = self._text([token])
        before, line_break, _ = text.partition("\n")
        said = self._said or any(character.isalnum() for character in before)
        if said and line_break:
            return True, bool(before.strip())
        if not said:
            self._unsaid.append(token)
            said = any(character.isalnum() for character in self._text(self._unsaid))
        self._said = said
        return False, False
