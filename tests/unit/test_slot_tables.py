"""Tables of what slots read, whose addresses never change."""

from dataclasses import fields, replace

import pytest
import torch

from xmguard.attention.slot_tables import LAST, Rule, SlotReading, SlotTables

READING = SlotReading(((2, 5), (5, 9)), (10, 12), (1.5, -torch.inf), served_from=10, measured_from=11, prompt_tokens=20)


def tables() -> SlotTables:
    return SlotTables.empty(3, spans=4, layers=2, heads=2, device="cpu")


def test_a_reading_is_written_to_its_slot_alone_and_its_sums_begin_at_zero():
    written = tables()
    written.sums.fill_(9.0)
    written.write({1: READING})
    assert written.limits.tolist() == [[LAST] * 4, [2, 10, 11, 20], [LAST] * 4]
    assert written.borders[1].tolist() == [2, 5, 5, 9, LAST, LAST, LAST, LAST]
    assert written.first_reader[1].tolist() == [10, 12, LAST, LAST]
    assert written.epsilon[1].tolist() == [1.5, -torch.inf, 0.0, 0.0]
    assert (written.head_factors[1] == 1.0).all()
    assert (written.sums[1] == 0.0).all()
    assert (written.sums[0] == 9.0).all()


def test_writing_moves_no_table():
    written = tables()
    before = {field.name: getattr(written, field.name) for field in fields(written) if field.name != "pinned"}
    places = {name: tensor.data_ptr() for name, tensor in before.items()}
    written.write({0: READING, 2: replace(READING, rule=Rule.FLOOR, shares=(1.0, 0.5), rule_value=3.0)})
    assert places == {name: getattr(written, name).data_ptr() for name in places}
    assert written.rules.tolist() == [0, 0, 2]
    assert written.rule_values[2] == 3.0


REFUSALS = {
    "there are 5 spans, the tables hold 4": SlotReading(
        tuple((k, k + 1) for k in range(5)), (9,) * 5, (0.0,) * 5, served_from=9
    ),
    "out of order or overlap": replace(READING, spans=((5, 9), (2, 5))),
    "2 spans and 1 of epsilon": replace(READING, epsilon=(1.0,)),
    "2 spans and 0 of shares": replace(READING, rule=Rule.TARGET),
    r"head factors are for \[3, 2\] layers and heads, the tables for \[2, 2\]": replace(
        READING, head_factors=torch.ones(3, 2)
    ),
}


@pytest.mark.parametrize("message", REFUSALS)
def test_a_reading_that_does_not_fit_is_refused_and_nothing_is_written(message):
    written = tables()
    with pytest.raises(ValueError, match=message):
        written.write({0: READING, 1: REFUSALS[message]})
    assert (written.limits == LAST).all()
