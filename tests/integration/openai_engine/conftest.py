"""The double of an API of chat completions, and a guard over it."""

from __future__ import annotations

import pytest

from tests import chat_api
from tests.integration.openai_engine.asking import guarding


@pytest.fixture
def api():
    with chat_api.serving() as server:
        yield server


@pytest.fixture
def guard(api, registry):
    with guarding(api, registry) as loaded:
        yield loaded
