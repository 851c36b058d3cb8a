"""The examples in the docstrings of the metrics are true, and every metric has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

from xmguard_research import metrics

MODULES = [f"{metrics.__name__}.{module.name}" for module in pkgutil.iter_modules(metrics.__path__)]
FUNCTIONS = [name for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_are_true(module):
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0, "it has no example"
    assert results.failed == 0, "the output above says which example is not true"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_metric_has_an_example_of_its_own(name):
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(getattr(metrics, name)))
    assert any(f"{name}(" in example.source for example in examples)


def test_the_package_gives_every_metric_of_its_modules():
    helpers = {"amounts", "by_value", "require_equal_lengths"}
    for name in MODULES:
        module = importlib.import_module(name)
        own = {key for key, value in inspect.getmembers(module, inspect.isfunction) if value.__module__ == name}
        assert {key for key in own if not key.startswith("_")} - helpers <= set(FUNCTIONS)
