"""Names of units and signs of money in a language, rewritten as their canonical symbols behind the number."""

from __future__ import annotations

import re
from collections.abc import Mapping

from xmguard.languages.folding import substitute

_SIGNS: Mapping[str, str] = {
    "US$": "usd",
    "$US": "usd",
    "$": "usd",
    "R$": "brl",
    "€": "eur",
    "£GB": "gbp",
    "£": "gbp",
    "CN¥": "cny",
    "JP¥": "jpy",
    "¥": "jpy",
    "₺": "try",
    "₹": "inr",
    "₽": "rub",
    "RMB": "cny",
}
_CODES = "USD EUR GBP JPY CNY INR RUB TRY ISK BRL"
_SCALES = "hundred|thousand|million|billion|trillion|mn|bn|tn|dozen"
# English reads what goes on in letters or a scale ("$5k", "$1.5 million"), and nobody what is unread ("$1_500").
_AMOUNT = rf"(?P<amount>-?\d+(?:[.,]\d+)*)(?!\w|[.,]\d|[ -](?i:{_SCALES})s?\b)"


class Units:
    """Rewrites the units of one language."""

    def __init__(self, units: Mapping[str, str], signs: Mapping[str, str], link: str) -> None:
        self._symbol_of = {name.replace("_", " "): symbol for symbol, names in units.items() for name in names.split()}
        self.pattern = "|".join(sorted(map(re.escape, self._symbol_of), key=len, reverse=True)) or "(?!)"
        """Pattern of the names, for folded text."""
        self._named = re.compile(rf"(?<=\d)[ -]?(?:{link})(?P<unit>{self.pattern})(?![^\W\d_])\.?")
        self._sign_of = {**_SIGNS, **{code: code.lower() for code in _CODES.split()}, **signs}
        sign = "|".join(sorted(map(re.escape, self._sign_of), key=len, reverse=True))
        self._before = re.compile(rf"(?<![^\W\d_])(?P<minus>-?)(?P<sign>{sign}) ?{_AMOUNT}")
        self._after = re.compile(rf"(?<![\w.,]){_AMOUNT} ?(?P<sign>{sign})(?![^\W\d_])")

    def rewrite(self, text: str) -> str:
        """The text with `25 km` and `25 eur`, however the language writes them."""
        text = self._before.sub(lambda match: f"{match['minus']}{match['amount']} {self._sign_of[match['sign']]}", text)
        text = self._after.sub(lambda match: f"{match['amount']} {self._sign_of[match['sign']]}", text)
        return substitute(self._named, text, lambda match: f" {_written(self._symbol_of[match['unit']])}")


def _written(symbol: str) -> str:
    """A symbol as English reads it behind a number."""
    return "inch" if symbol == "in" else symbol
