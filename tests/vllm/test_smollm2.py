"""The embedded model with all that is put onto it: its profile's probe, and an adapter of the joint answer."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bad_input import CONFLICT
from tests.vllm.alike import assert_alike
from xmguard import Rebalance, Span, load_guard

pytestmark = pytest.mark.model

MIXED = Path(__file__).parents[2] / "plugins/xmguard-smollm2-mixed/src/xmguard_smollm2_mixed/weights"
AGREEMENT = (
    Span(text="The ferry to the island leaves at 8:15 in the morning."),
    Span(text="Every day at 8:15 the ferry leaves the harbour. Tickets are sold on board."),
)
REQUESTS = {
    "conflict": CONFLICT,
    "agreement": replace(CONFLICT, spans=AGREEMENT, question="When does the ferry leave?"),
    "steered": replace(CONFLICT, rebalance=Rebalance("fixed", bias={"s2": 2.0})),
}


@pytest.fixture(scope="module")
def engines(smollm2_folder, registry, in_processes):
    options = {"kv_cache_memory_bytes": 512 << 20}
    guard = load_guard(str(MIXED), engine="vllm", options=options, registry=registry)
    yield guard, load_guard(str(MIXED), registry=registry)
    guard.backend.close()


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_calibrated_verdict_and_an_adapted_answer_are_the_same_in_both_engines(engines, request_):
    found, wanted = (guard.answer(request_) for guard in engines)
    assert wanted.verdict.calibrated
    assert_alike(found, wanted)


def test_both_engines_say_the_same_of_the_model(engines):
    found, wanted = (guard.describe() for guard in engines)
    assert (found.calibration, found.profile) == (wanted.calibration, wanted.profile)
    assert found.stamp.model_hash == wanted.stamp.model_hash
    assert found.engine == "vllm"
