"""The whole guard on a started engine of a model that reads pictures: it answers as the transformers engine does."""

from dataclasses import replace
from io import BytesIO

import pytest
import xmguard_image
from PIL import Image

from tests.integration.pictures import sketch
from tests.vllm.alike import assert_alike
from tests.vllm.pictures import make
from xmguard import AnswerRequest, Decoding, Detail, OnError, Rebalance, Span, load_guard
from xmguard.errors import EngineError
from xmguard.plugins import load_plugins
from xmguard.request import Scope
from xmguard.span import Media

OPTIONS = {"concurrency": 4, "kv_cache_memory_bytes": 64 << 20}


def photo(name, seed):
    """A span of a PNG file, as the plugin xmguard-image takes it."""
    width, height, *rgb = sketch(seed, 40, 36).data
    file = BytesIO()
    Image.frombytes("RGB", (width, height), bytes(rgb)).save(file, "PNG")
    return Span(name, media=Media("image/png", file.getvalue()))


SAID = Span("said", "The door is red. It is closed.", language="en")
SEEN = AnswerRequest(
    spans=(photo("drawn", 1), SAID, photo("other", 2)),
    question="Which colour is the door?",
    decoding=Decoding(max_tokens=8),
    detail=Detail(alone_answers=True, layers=True, unbiased_answer=True),
    rebalance=Rebalance("fixed", bias={"drawn": 2.0}),
    on_error=OnError.OPEN,
)
REQUESTS = {
    "pictures and a text": SEEN,
    "a picture steered, every later row": replace(SEEN, rebalance=replace(SEEN.rebalance, scope=Scope.ALL)),
    "one picture twice": replace(SEEN, spans=(photo("drawn", 1), SAID, photo("other", 1))),
    "a text and a picture": replace(SEEN, spans=(SAID, photo("drawn", 1))),
    "shares": replace(SEEN, rebalance=Rebalance("target", {"share.drawn": 0.5})),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("model"), "Llava")


@pytest.fixture(scope="module")
def guard(folder, in_processes):
    guard = load_guard(
        str(folder), engine="vllm", options=OPTIONS, registry=load_plugins(extra={"photos": xmguard_image})
    )
    yield guard
    guard.backend.close()


@pytest.fixture(scope="module")
def other(folder):
    return load_guard(str(folder), registry=load_plugins(extra={"photos": xmguard_image}))


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_both_engines_answer_alike_about_pictures(guard, other, request_):
    assert_alike(guard.answer(request_), other.answer(request_))


def test_the_model_says_what_it_reads_and_passes_its_self_test(guard):
    assert guard.describe().modalities == ("image", "text")
    checks = guard.backend.self_test()
    assert [check.name for check in checks if not check.passed] == []
    assert len([check for check in checks if check.name.startswith("a picture: ")]) == 4


def test_a_context_with_pictures_is_run_once_for_all_branches_and_found_again(guard):
    request = replace(SEEN, spans=(photo("drawn", 5), SAID, photo("other", 6)))
    first, second = guard.answer(request).usage, guard.answer(request).usage
    assert first.cached_tokens / first.prompt_tokens > 6
    assert second.cached_tokens > first.cached_tokens
    swapped = replace(SEEN, spans=(photo("drawn", 6), SAID, photo("other", 5)))
    assert guard.answer(swapped).usage.cached_tokens <= first.cached_tokens


def test_a_picture_that_vllm_would_lay_elsewhere_ends_the_request(guard, monkeypatch):
    reader = guard.backend.encoder._pictures
    monkeypatch.setattr(reader, "_folded", (*reader._folded, *reader._folded[-1:]))
    with pytest.raises(EngineError, match="its positions of the spans would not hold"):
        guard.answer(replace(SEEN, on_error=OnError.CLOSED))
    monkeypatch.undo()
    assert guard.answer(SEEN).raw_answer
