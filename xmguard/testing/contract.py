"""What the contracts have in common: a test class that lacks an attribute is one failure that names it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import pytest


class Contract:
    """Base of the contracts. Each declares the attributes that its heirs set."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Called by pytest for each test; parametrizes none."""
        self.check_attributes()

    def check_attributes(self) -> None:
        """End the collection of the class, with what to set, if it lacks attributes that its contract declares."""
        contracts = [each for each in type(self).__mro__ if each.__module__.startswith(__package__ or "")]
        declared = [name for each in reversed(contracts) for name in inspect.get_annotations(each)]
        if lacking := [name for name in declared if not hasattr(self, name)]:
            pytest.fail(
                f"{type(self).__name__} lacks {', '.join(lacking)}; "
                f"set what {contracts[0].__name__} declares (help(xmguard.testing.{contracts[0].__name__}))",
                pytrace=False,
            )


def parametrized(metafunc: pytest.Metafunc, name: str, values: Sequence[object], ids: Sequence[str]) -> None:
    """One test per value, for the tests that ask for `name`."""
    if name in metafunc.fixturenames:
        metafunc.parametrize(name, values, ids=ids)
