"""What every test under inspect_ai needs."""

import gc

import pytest


def pytest_collection_modifyitems(items):
    """inspect_ai's own use of tenacity, and an event loop that it leaves to the collector, are not ours to mend."""
    here = pytest.mark.filterwarnings
    for item in items:
        if item.path.parent.name == "bench":
            item.add_marker(here("ignore:The 'initial' parameter is deprecated:DeprecationWarning"))
            item.add_marker(here("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="module", autouse=True)
def _collected():
    """What inspect_ai leaves open is collected here, not in a test of another folder that then fails for it."""
    yield
    gc.collect()
