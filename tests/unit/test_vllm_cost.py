"""What readings inside vLLM are said to run is what its prefix cache leaves to be run, at most and nearly."""

from itertools import product

import pytest

from xmguard.backends.vllm.spec import ReadingSpec
from xmguard.bias import REMOVE, AttentionBias
from xmguard.context import EncodedPrompt, SpanMap, SpanTokens
from xmguard.request import Scope
from xmguard.sizes import Sizes

BLOCK, CONTEXT = 8, 37
SPANS = SpanMap((SpanTokens("a", 2, 11), SpanTokens("b", 11, 30)), CONTEXT)
LONGEST = 21
ALONE = AttentionBias({"b": REMOVE})


class Cache:
    """Blocks that were run, each known by the keys of all up to it."""

    def __init__(self):
        self._blocks = set()
        self.read(plain(CONTEXT))

    def read(self, spec, said=0):
        """Tokens that are run of a prompt, and of what is generated after it; the last one is not read."""
        blocks = [self._block(spec, end) for end in range(BLOCK, spec.prompt_tokens + 1, BLOCK)]
        found = 0
        # One row at least is run, for something to be said.
        while found < len(blocks) and (found + 1) * BLOCK < spec.prompt_tokens and blocks[found] in self._blocks:
            found += 1
        self._blocks |= set(blocks)
        return spec.prompt_tokens - found * BLOCK + max(0, said - 1)

    @staticmethod
    def _block(spec, end):
        """Prompts of a test differ in what is scored alone, which no two readings share."""
        stops = range(BLOCK, end + 1, BLOCK)
        return tuple(next((key for first, key in reversed(spec.keys) if stop > first), "") for stop in stops)


def plain(tokens):
    return ReadingSpec("plain", SPANS, tokens)


def scoring(name, tail, continuation, bias=ALONE):
    """What a session hands in for one continuation, all of it but its last token."""
    read = continuation[:-1]
    return ReadingSpec(name, SPANS, CONTEXT + tail + len(read), bias, scored=read, choices=continuation[-1:])


def sizes(**more):
    prompt = EncodedPrompt(tuple(range(CONTEXT)), SPANS, (0,) * LONGEST, (0,) * LONGEST)
    told = {"keeps": False, "again": CONTEXT % BLOCK, "block": BLOCK, "joins": True}
    return Sizes.of(prompt, **(told | more))


def test_a_tail_is_run_once_but_for_a_broken_block():
    worst = 0
    for tail, tokens in product(range(1, LONGEST + 1), (1, 2, 9)):
        cache = Cache()
        decoded = cache.read(ReadingSpec("decoded", SPANS, CONTEXT + tail, ALONE), said=12)
        assert decoded == sizes().decoded(1, tail, 12) - 1
        continued = cache.read(scoring("scored", tail, tuple(range(tokens))))
        assert continued <= sizes().continued(1, tail, tokens)
        worst = max(worst, continued - tokens)
    assert worst == sizes().continued(1, LONGEST, 0)


@pytest.mark.parametrize("scope", [Scope.READERS, Scope.ALL])
def test_continuations_share_what_was_run_for_the_first_of_them(scope):
    bias = AttentionBias({"a": REMOVE}, scope)
    for tail in range(1, LONGEST + 1):
        cache = Cache()
        run = sum(cache.read(scoring(f"{number}", tail, (number, 50, 51), bias)) for number in range(4))
        said = sizes().scored(1, tail, 4, 3) + (sizes().changed if scope is Scope.ALL else 0)
        assert run <= said
        assert said - run <= 4 * BLOCK + (BLOCK if scope is Scope.ALL else 0)


def test_without_blocks_to_be_found_everything_is_run_again():
    nothing = sizes(again=CONTEXT, block=0)
    assert nothing.continued(2, 5, 3) == 2 * (CONTEXT + 5 + 3)
    assert nothing.scored(1, 5, 2, 3) == 2 * (CONTEXT + 5 + 3)
    assert nothing.changed == 0


def test_choices_of_one_last_token_are_one_reading():
    words = [(1,), (2,), (3, 4), (3, 5)]
    assert sizes().chosen(2, 5, words) == sizes().scored(2, 5, 2, 2)
    assert sizes(joins=False).chosen(2, 5, words) == sizes().scored(2, 5, 4, 2)
