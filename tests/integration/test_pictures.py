"""Models that read pictures, against their stock forward pass under eager attention: steered and measured exactly."""

import pytest

from tests.integration.parity import BIASES, RULES, assert_parity
from tests.integration.pictures import PictureEager, context, registry_with_sketches, sketch
from xmguard.backends.transformers.loader import load
from xmguard.request import Prompt
from xmguard.testing.tiny_pictures import PICTURE_FAMILIES, make_picture_model

STEPS = 12
ORDERS = {
    "picture, text, picture": context(sketch(1), "The sign says OPEN until nine.", sketch(2, 40, 20)),
    "text, picture": context("The sign says OPEN until nine.", sketch(1)),
    "picture, text": context(sketch(3, 20, 32), "A sign: CLOSED."),
}


@pytest.fixture(scope="module", params=PICTURE_FAMILIES)
def family(request, tmp_path_factory):
    folder = make_picture_model(tmp_path_factory.mktemp("model"), request.param)
    return folder, load(folder, registry=registry_with_sketches())


@pytest.mark.parametrize("kind", ["none", "lift the second", "remove the first"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_family_is_read_and_steered_exactly(family, order, kind):
    folder, backend = family
    prompt = backend.encode(ORDERS[order], Prompt.STANDARD)
    assert_parity(backend, PictureEager(folder, ORDERS[order]), (BIASES | RULES)[kind], prompt, STEPS)
