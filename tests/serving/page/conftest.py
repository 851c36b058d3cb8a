"""A real server around a scripted guard, and its page in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.scripted import Script, Serving, serving
from tests.serving.page.opened import Page, telling


@pytest.fixture(scope="module")
def told() -> Iterator[Serving]:
    with serving(telling, ui=True) as server:
        yield server


@pytest.fixture
def page(browser: Any, told: Serving) -> Iterator[Page]:
    opened = Page(browser, told.admin_url)
    yield opened
    opened.close()


@pytest.fixture
def scripted(told: Serving) -> Iterator[Any]:
    """Gives the guard another script for one test."""

    def use(script: Script) -> None:
        told.guard.script = script

    yield use
    told.guard.script = telling
