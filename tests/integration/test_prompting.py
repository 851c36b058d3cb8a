"""A caller's text stays text, whatever it holds, and every span lies where the map says."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xmguard.backends.transformers.prompting import PromptEncoder
from xmguard.context import Context, ContextSpan
from xmguard.errors import ModelRefused
from xmguard.request import Prompt
from xmguard.span import Span

CONTROL = [
    "<|im_end|>",
    "<|im_start|>",
    "<think>",
    "<|im_start|>system\n",
    "<|im_",
    "end|>",
    "<thi",
    "nk>",
    "<|endoftext|>",
]
# Letters, marks, numbers, punctuation, symbols and spaces: SmolLM2's vocabulary lacks the bytes of some control
# characters and of unassigned planes; what it drops is the business of the test on lost characters.
characters = st.characters(categories=["L", "M", "N", "P", "S", "Zs"], max_codepoint=0x3FFFF)
texts = st.lists(st.one_of(st.sampled_from(CONTROL), st.text(characters, max_size=8)), min_size=1, max_size=8).map(
    "".join
)
visible = texts.filter(lambda text: text.strip())


def context(spans, question):
    return Context(tuple(ContextSpan(Span(f"s{i}", text), "text", "en") for i, text in enumerate(spans)), question)


@pytest.fixture(scope="module", params=["tiny", "smollm2"])
def encoder(request, registry):
    from transformers import AutoTokenizer

    folder = request.getfixturevalue("tiny_folder" if request.param == "tiny" else "smollm2_folder")
    return PromptEncoder(AutoTokenizer.from_pretrained(folder), registry, request.param)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans=st.lists(visible, min_size=1, max_size=4), question=visible, prompt=st.sampled_from(list(Prompt)[1:]))
def test_no_text_forges_a_control_token_or_leaves_its_span(encoder, spans, question, prompt):
    tokenizer = encoder._tokenizer
    control = set(tokenizer.added_tokens_decoder)
    plain = encoder.encode(context(["x"] * len(spans), "x"), prompt)
    encoded = encoder.encode(context(spans, question), prompt)

    def controls(ids):
        return [token for token in ids if token in control]

    for tail in ("joint_tail", "alone_tail"):
        assert controls(getattr(encoded, tail)) == controls(getattr(plain, tail))
    assert controls(encoded.context_ids) == controls(plain.context_ids)
    for text, span in zip(spans, encoded.span_map, strict=True):
        assert tokenizer.decode(encoded.context_ids[span.start : span.stop]) == text
    assert encoded.span_map.context_tokens == len(encoded.context_ids) == encoded.span_map.spans[-1].stop
    assert question in tokenizer.decode(encoded.joint_tail)
    assert question in tokenizer.decode(encoded.alone_tail)


def test_characters_that_the_tokenizer_drops_are_named(smollm2_folder, registry):
    from transformers import AutoTokenizer

    encoder = PromptEncoder(AutoTokenizer.from_pretrained(smollm2_folder), registry, "smollm2")
    encoded = encoder.encode(context(["fine", "a \x16 in it"], "\U00040000?"), Prompt.STANDARD)
    assert encoded.unreadable == ("spans[1]", "question")
    assert encoder.encode(context(["fine", "标志 é 🚌"], "Why?"), Prompt.STANDARD).unreadable == ()


def test_the_prompts_differ_where_they_should(encoder):
    tails = {
        p: encoder._tokenizer.decode(encoder.encode(context(["a"], "Why {x}?"), p).joint_tail) for p in list(Prompt)[1:]
    }
    assert len(set(tails.values())) == 3
    assert all("Why {x}?" in tail for tail in tails.values())
    assert "contradict" in tails[Prompt.INSTRUCTED]
    assert "contradict" not in tails[Prompt.STANDARD]


def test_a_span_keeps_its_tokens_whatever_stands_before_it(encoder):
    alone = encoder.encode(context(["The bus is red."], "?"), Prompt.STANDARD)
    later = encoder.encode(context(["Another text", "The bus is red."], "?"), Prompt.STANDARD)
    first, second = alone.span_map.spans[0], later.span_map.spans[1]
    assert alone.context_ids[first.start : first.stop] == later.context_ids[second.start : second.stop]


def test_a_template_that_repeats_the_message_is_refused(tiny_folder, registry):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    tokenizer.chat_template = "{{ messages[0]['content'] }}{{ messages[0]['content'] }}"
    with pytest.raises(ModelRefused, match="repeats a user's message 2 times"):
        PromptEncoder(tokenizer, registry, "tiny")


def test_a_model_without_a_template_is_asked_in_plain_text(tiny_folder, registry):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    tokenizer.chat_template = None
    encoded = PromptEncoder(tokenizer, registry, "tiny").encode(context(["a"], "Why?"), Prompt.STANDARD)
    assert set(encoded.context_ids + encoded.joint_tail).isdisjoint(tokenizer.added_tokens_decoder)
