import pytest
import torch
from torch import nn

from xmguard.backends.transformers import few_rows
from xmguard.backends.transformers.few_rows import FewRowsLinear, install
from xmguard.backends.transformers.loader import load
from xmguard.testing import make_model


def model(width=8):
    torch.manual_seed(0)
    return nn.ModuleDict({"inner": nn.ModuleDict({"up": nn.Linear(width, 12)}), "down": nn.Linear(12, 5, bias=False)})


@pytest.mark.parametrize("shape", [(1, 8), (2, 8), (3, 1, 8), (2, 2, 8), (5, 8), (0, 8), (8,)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_rows_one_by_one_are_the_same_product(shape, bias, monkeypatch):
    linear = nn.Linear(8, 12, bias=bias)
    taken = []
    real = few_rows.one_by_one
    monkeypatch.setattr(few_rows, "one_by_one", lambda *args: taken.append(args) or real(*args))
    rows = torch.randn(shape)
    got = FewRowsLinear(linear, frozenset({2, 3, 4}))(rows)
    torch.testing.assert_close(
        got.double(), nn.functional.linear(rows.double(), *doubled(linear)), rtol=1e-5, atol=1e-6
    )
    assert got.shape == (*shape[:-1], 12)
    assert bool(taken) == (torch.Size(shape[:-1]).numel() in (2, 3, 4))


def doubled(linear):
    return linear.weight.double(), None if linear.bias is None else linear.bias.double()


def test_it_is_installed_where_it_is_faster_and_shares_the_parameters(monkeypatch):
    monkeypatch.setattr(few_rows, "SMALLEST", 0)
    monkeypatch.setattr(few_rows, "_faster", lambda weights, rows: rows == 3)
    module = model()
    before = dict(module.named_parameters())
    assert install(module) == {3}
    assert isinstance(module["inner"]["up"], FewRowsLinear)
    after = dict(module.named_parameters())
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)


@pytest.mark.parametrize("change", ["small", "bfloat16", "slower"])
def test_it_is_not_installed_elsewhere(monkeypatch, change):
    monkeypatch.setattr(few_rows, "SMALLEST", 0 if change != "small" else 1 << 40)
    monkeypatch.setattr(few_rows, "_faster", lambda weights, rows: change != "slower")
    module = model().to(torch.bfloat16) if change == "bfloat16" else model()
    assert install(module) == frozenset()
    assert type(module["down"]) is nn.Linear


def test_the_self_test_looks_at_the_rows_that_were_chosen(tmp_path, registry, monkeypatch):
    monkeypatch.setattr(few_rows, "SMALLEST", 0)
    monkeypatch.setattr(few_rows, "_faster", lambda weights, rows: rows == 3)
    backend = load(make_model(tmp_path), registry=registry)
    assert backend.loaded.few_rows == {3}
    check = backend.self_test()[-1]
    assert check.passed
    assert "3 rows" in check.detail
    monkeypatch.setattr(few_rows, "one_by_one", lambda rows, weight, bias: rows @ weight.T + 1)
    assert not backend.self_test()[-1].passed
