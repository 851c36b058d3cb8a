"""Fixtures that several tests share: the plugins, a tiny model with random weights, the embedded model, a browser."""

import gc
import os
import shutil

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


@pytest.fixture(scope="module")
def browser():
    drive = pytest.importorskip("playwright.sync_api", reason='playwright is missing: pip install -e ".[dev]"')
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with drive.sync_playwright() as playwright:
        # Nobody but root needs to go without Chromium's sandbox.
        alone = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=chromium, args=alone, timeout=120_000)
        yield started
        started.close()


@pytest.fixture(scope="module")
def expect(browser):
    """What waits until the page is as it is said to be, and fails when it does not become so."""
    from playwright.sync_api import expect

    return expect
