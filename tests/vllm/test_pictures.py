"""Models that read pictures, in vLLM: steered and measured as their stock forward pass under eager attention."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.integration.parity import BIASES, RULES
from tests.integration.pictures import PictureEager, context, sketch
from tests.vllm.engine import Asked, Engine
from tests.vllm.parity import assert_parity
from tests.vllm.pictures import FAMILIES, encoding, make
from xmguard.backends.vllm.families import PICTURES
from xmguard.backends.vllm.loader import OF_PICTURES
from xmguard.backends.vllm.picture_prompts import prepare
from xmguard.backends.vllm.spec import PicturePlace
from xmguard.deadline import Stop
from xmguard.errors import EngineError
from xmguard.request import Prompt

BLOCK, CHUNK = 32, 96
KINDS = {
    name: (BIASES | RULES)[name]
    for name in (
        "none",
        "lift the first, every later row",
        "remove the first",
        "generated rows only",
        "target after a removal",
        "constant by head",
    )
}
SIGN = "The sign says OPEN until nine."
BETWEEN = context(sketch(1), SIGN, sketch(2, 40, 20))
LIFT = BIASES["lift the second"]
ORDERS = {
    "text, picture": context(SIGN, sketch(1)),
    "one picture twice": context(sketch(1), SIGN, sketch(1)),
    "another picture": context(sketch(7), SIGN, sketch(2, 40, 20)),
    "text": context(SIGN, "A sign: CLOSED."),
}


class Case:
    """A context in one family: encoded, prepared by vLLM, and its reference."""

    def __init__(self, family, contents):
        self.contents = contents
        self.prompt = family.backend.encode(contents, Prompt.STANDARD)
        self.pictures = None
        if self.prompt.media:
            self.pictures = prepare(family.engine, self.prompt.context_ids, self.prompt.media, Stop())

    def asked(self, bias, **more):
        ids = [*self.prompt.context_ids, *self.prompt.joint_tail]
        return Asked(ids, self.prompt.span_map, bias, steps=8, pictures=self.pictures, **more)

    @property
    def context(self):
        return Asked(self.prompt.context_ids, steps=1, pictures=self.pictures)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """All kinds of bias on one context in one batch, and then other contexts."""
    folder = make(tmp_path_factory.mktemp("model"), request.param)
    engine = Engine(folder, max_num_batched_tokens=CHUNK, max_model_len=1024, skip_tokenizer_init=False, **OF_PICTURES)
    try:
        family = SimpleNamespace(folder=folder, backend=encoding(folder), engine=engine)
        family.between = Case(family, BETWEEN)
        engine.read(family.between.context)
        family.reads = dict(zip(KINDS, engine.read(*map(family.between.asked, KINDS.values())), strict=True))
        family.orders = {name: Case(family, contents) for name, contents in ORDERS.items()}
        family.others = {name: engine.read(case.asked(LIFT))[0] for name, case in family.orders.items()}
        yield family
    finally:
        engine.close()


@pytest.fixture(scope="module")
def eager(family):
    return PictureEager(family.folder, family.backend, BETWEEN, family.between.prompt)


@pytest.mark.parametrize("kind", KINDS)
def test_every_family_reads_pictures_with_a_bias_and_is_measured(family, eager, kind):
    assert_parity(eager, family.between.asked(KINDS[kind]), family.reads[kind])


@pytest.mark.parametrize("order", ORDERS)
def test_texts_and_pictures_come_in_any_order_and_more_than_once(family, order):
    case = family.orders[order]
    reference = PictureEager(family.folder, family.backend, case.contents, case.prompt)
    assert_parity(reference, case.asked(LIFT), family.others[order])


def test_a_reading_without_its_bias_fails(family, eager):
    for kind in ("remove the first", "constant by head"):
        with pytest.raises(AssertionError):
            assert_parity(eager, family.between.asked(KINDS[kind]), family.reads["none"])


def test_branches_share_the_pictures_of_their_context_and_of_no_other(family):
    first, *_ = family.between.prompt.span_map
    length = len(family.between.prompt.context_ids)
    whole = dict.fromkeys(KINDS, length // BLOCK * BLOCK)
    whole["lift the first, every later row"] = first.stop // BLOCK * BLOCK
    assert {kind: read.cached for kind, read in family.reads.items()} == whole
    other = family.orders["another picture"]
    assert other.prompt.context_ids == family.between.prompt.context_ids
    assert family.others["another picture"].cached <= first.start
    family.engine.read(other.context)  # a window leaves a prompt's first blocks to others once it has passed them
    (again,) = family.engine.read(other.asked(KINDS["none"]))
    assert again.cached == length // BLOCK * BLOCK


def test_a_request_whose_pictures_lie_elsewhere_is_an_error_and_its_neighbour_s_is_not(family, eager):
    places = family.between.pictures.places
    shifted = PicturePlace(places[0].identity, tuple((start + 1, stop + 1) for start, stop in places[0].features))
    stranger = replace(places[0], identity="another")
    wrong = [(), places[:1], (shifted, *places[1:]), (stranger, *places[1:])]
    bad = [family.between.asked(LIFT, more={"pictures": each}) for each in wrong]
    *refused, read = family.engine.read(*bad, family.between.asked(LIFT))
    for each in refused:
        assert [message["kind"] for message in each.told] == ["error"]
        assert "its pictures are others, or elsewhere: " in each.errors[0]
    assert_parity(eager, family.between.asked(LIFT), read)


def test_an_expansion_that_is_not_the_encoder_s_ends_the_request(family):
    ids, pictures = family.between.prompt.context_ids, family.between.prompt.media
    twice = [replace(pictures[0], folded=(*pictures[0].folded, 5)), *pictures[1:]]
    with pytest.raises(EngineError, match="that are not the"):
        prepare(family.engine, ids, twice, Stop())
    moved = [replace(pictures[0], placeholders=pictures[0].placeholders[:-1]), *pictures[1:]]
    with pytest.raises(EngineError, match="lays pictures elsewhere"):
        prepare(family.engine, ids, moved, Stop())
    thinner = {name: value[..., :1] for name, value in pictures[0].inputs.items()}
    with pytest.raises(EngineError, match="of a picture than its encoder"):
        prepare(family.engine, ids, [replace(pictures[0], inputs=thinner), *pictures[1:]], Stop())


def test_every_architecture_that_reads_pictures_is_tested_here():
    assert {f"{family}ForConditionalGeneration" for family in FAMILIES} == set(PICTURES)
