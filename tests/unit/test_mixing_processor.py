"""A processor that emulates bfloat16 is told apart by how long a product takes."""

import pytest
import torch

from xmguard_research.mixing import processor
from xmguard_research.mixing.processor import emulation


@pytest.mark.parametrize(("times", "said"), [(0.5, False), (2.0, False), (40.0, True)])
def test_only_what_takes_many_times_as_long_is_said(monkeypatch, times, said):
    monkeypatch.setattr(processor, "_seconds", lambda dtype: times if dtype is torch.bfloat16 else 1.0)
    found = emulation("--dtype float32")
    if said:
        assert found == (
            "this processor emulates bfloat16, and a product takes 40 times as long as in float32; --dtype float32 is "
            "faster"
        )
    else:
        assert found is None


def test_products_take_time():
    assert 0 < processor._seconds(torch.float32) < 1
    assert 0 < processor._seconds(torch.bfloat16) < 10
