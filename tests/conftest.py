"""Fixtures that several tests share: the plugins, a tiny model with random weights, and the embedded model."""

import gc
import os

import pytest


def pytest_collection_finish():
    """What is imported by now stays: full collections, which timing and training ask for, need not go through it."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish():
    """Libraries that count what is left at exit would call it a leak."""
    gc.unfreeze()


# Plugins that happen to be installed here stay out, in the processes that tests start too.
os.environ["XMGUARD_PLUGINS"] = ""


@pytest.fixture(scope="session")
def registry():
    from xmguard.plugins import load_plugins

    return load_plugins()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    from xmguard.testing import make_model

    return make_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_backend(tiny_folder, registry):
    from xmguard.backends.transformers.loader import load

    return load(tiny_folder, registry=registry)


@pytest.fixture(scope="session")
def smollm2_folder(registry):
    """The embedded model; `make setup` pulls it."""
    path = registry.models.items["smollm2"].path()
    if path is None:
        pytest.skip("smollm2 is not pulled: run `make setup`")
    return path
