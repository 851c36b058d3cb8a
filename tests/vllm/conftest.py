"""Tests of the vLLM engine. They need an environment of their own (`make test-vllm`); elsewhere none is collected."""

import os
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import pytest

HERE = Path(__file__).parent

collect_ignore_glob = [] if find_spec("vllm") else ["test_*.py"]


@pytest.fixture(scope="module")
def in_processes():
    """The engine runs in processes of its own, as it is served; tests of the worker have it in theirs."""
    with patch.dict(os.environ, {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}):
        for name in ("VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_PLUGINS"):
            os.environ.pop(name, None)
        yield


def pytest_collection_modifyitems(items):
    """vLLM and what it imports warn of much that is none of ours."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default"))
            item.add_marker(pytest.mark.timeout(1200))  # an engine starts three processes, each of which imports torch
