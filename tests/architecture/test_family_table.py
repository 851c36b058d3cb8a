"""README's table of families is what the tests prove."""

from __future__ import annotations

from tests.integration.families import BLOCK, README, table


def test_the_readmes_table_of_families_is_generated_from_the_tests():
    found = BLOCK.findall(README.read_text(encoding="utf-8"))
    expected = table()
    assert found == [expected], f"run `make families`, or put this between README's markers:\n{expected}"
