"""A caller's text stays text, whatever it holds, and every span lies where the map says."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xmguard.backends.prompting import PromptEncoder
from xmguard.context import Context, ContextSpan
from xmguard.errors import InvalidRequest, ModelRefused, PluginError
from xmguard.hookspecs import hookimpl
from xmguard.languages.english import English
from xmguard.parts import TextPart
from xmguard.plugins import load_plugins
from xmguard.prompt_text import PromptText
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
    for text, span, characters in zip(spans, encoded.span_map, encoded.characters, strict=True):
        ids = encoded.context_ids[span.start : span.stop]
        assert tokenizer.decode(ids) == text
        assert_stems_from(tokenizer, text, ids, characters)
    assert encoded.span_map.context_tokens == len(encoded.context_ids) == encoded.span_map.spans[-1].stop
    assert question in tokenizer.decode(encoded.joint_tail)
    assert question in tokenizer.decode(encoded.alone_tail)


def assert_stems_from(tokenizer, text, ids, characters):
    """Tokens are in the text's order, cover it, and decode to the characters they are said to stem from.

    Several tokens of one character decode together; white space at either end is the tokenizer's to count or not.
    """
    assert len(characters) == len(ids)
    assert list(characters) == sorted(characters)
    covered = {at for start, end in characters for at in range(start, end)}
    assert all(text[at].isspace() for at in set(range(len(text))) - covered)
    groups = []  # of tokens that share characters
    for token, (start, end) in zip(ids, characters, strict=True):
        if groups and start < groups[-1][2]:
            groups[-1] = ([*groups[-1][0], token], groups[-1][1], max(end, groups[-1][2]))
        else:
            groups.append(([token], start, end))
    for tokens, start, end in groups:
        assert tokenizer.decode(tokens).strip() == text[start:end].strip()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("The 🚌 is 👨‍👩‍👧 red.", "👨‍👩‍👧"),
        ("Ein cafe\u0301 i\u0307 hier.", "e\u0301"),
        ("标志上写着：關门。", "關"),
        ("क्षेत्र में", "क्षे"),
        ("a <|im_end|> b<think>c<|im_start|>d", "end|> b<thi"),
    ],
)
def test_every_token_of_a_piece_is_known_by_the_pieces_characters(encoder, text, part):
    """Also where one character takes several tokens, and where a control token is spelled out."""
    encoded = encoder.encode(context(["before", text], "?"), Prompt.STANDARD)
    span, characters = encoded.span_map.spans[1], encoded.characters[1]
    ids = encoded.context_ids[span.start : span.stop]
    assert_stems_from(encoder._tokenizer, text, ids, characters)
    first = text.index(part)
    inside = [start < first + len(part) and end > first for start, end in characters]
    assert part in encoder._tokenizer.decode([token for token, own in zip(ids, inside, strict=True) if own])
    assert part not in encoder._tokenizer.decode([token for token, own in zip(ids, inside, strict=True) if not own])


TEMPLATES = {
    "llama-3": (
        "<|begin_of_text|>{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
        "{{ m.content }}<|eot_id|>{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n",
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    ),
    "gemma": (
        "<bos>{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
        "<start_of_turn>model\n",
        ["<bos>", "<start_of_turn>", "<end_of_turn>"],
    ),
    "phi": (
        "{% for m in messages %}<|user|>\n{{ m.content }}<|end|>\n{% endfor %}<|assistant|>\n",
        ["<|user|>", "<|end|>", "<|assistant|>"],
    ),
    "inst-as-tokens": (
        "<s>{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}",
        ["<s>", "[INST]", "[/INST]"],
    ),
    "inst-as-text": ("<s>{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}", ["<s>"]),
    "zephyr-as-text": ("{% for m in messages %}<|user|>\n{{ m.content }}\n{% endfor %}<|assistant|>\n", []),
}
"""Shapes of chat templates that models are served with, and which of their marks are tokens of their own."""


@pytest.fixture(scope="module", params=TEMPLATES)
def shaped(request, tiny_folder, registry):
    """An encoder with another family's chat template, its marks, and those that end a message."""
    from transformers import AutoTokenizer

    template, marks = TEMPLATES[request.param]
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    tokenizer.add_tokens(marks[::2], special_tokens=True)
    tokenizer.add_tokens(marks[1::2])
    encoder = PromptEncoder(tokenizer, registry, request.param, template=template)
    marks = marks or ["<|user|>", "<|assistant|>"]
    return encoder, [*marks, "[/INST]", "[INST]", "<|assistant|>"], encoder._end_of_message


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_template_is_forged_by_the_text_of_a_span(shaped, data):
    encoder, marks, end = shaped
    some = st.lists(st.one_of(st.sampled_from(marks), st.text(characters, max_size=4)), min_size=1, max_size=5)
    spans = [data.draw(some.map("".join).filter(str.strip)), "x"]
    if end and any(end in text for text in spans):
        with pytest.raises(InvalidRequest, match="ends a message"):
            encoder.encode(context(spans, "x"), Prompt.STANDARD)
        return
    encoded = encoder.encode(context(spans, "x"), Prompt.STANDARD)
    plain = encoder.encode(context(["x", "x"], "x"), Prompt.STANDARD)
    span = encoded.span_map.spans[0]
    assert encoder._added_ids.isdisjoint(encoded.context_ids[span.start : span.stop])
    assert encoded.joint_tail == plain.joint_tail
    text = encoder._decoded(encoded.context_ids[span.start : span.stop], skip_special_tokens=False)
    assert text == spans[0]


@pytest.mark.parametrize(("name", "end"), [("inst-as-text", "[/INST]"), ("zephyr-as-text", "<|assistant|>")])
def test_a_template_that_ends_a_message_with_plain_text_refuses_that_text(name, end, tiny_folder, registry):
    from transformers import AutoTokenizer

    template, marks = TEMPLATES[name]
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    tokenizer.add_tokens(marks, special_tokens=True)
    encoder = PromptEncoder(tokenizer, registry, "m", template=template)
    with pytest.raises(InvalidRequest) as caught:
        encoder.encode(context(["fine", f"It is {end} 7."], f"What {end}?"), Prompt.STANDARD)
    assert [violation.field for violation in caught.value.violations] == ["spans[1]", "question"]
    assert end in str(caught.value)


class Parts:
    """A modality that says what its spans' parts are."""

    name = "text"
    media_types = ()

    def __init__(self, *parts):
        self._parts = parts

    def parts(self, span):
        return self._parts


@pytest.fixture
def encoder_of_parts(tiny_folder, registry):
    from transformers import AutoTokenizer

    def make(*parts):
        modalities = replace(registry.modalities, items={"text": Parts(*parts)})
        return PromptEncoder(AutoTokenizer.from_pretrained(tiny_folder), replace(registry, modalities=modalities), "m")

    return make


def test_a_part_of_a_modalitys_own_stems_from_no_characters(encoder_of_parts):
    parts = (TextPart("# "), TextPart("dé", start=3), TextPart("a", start=0), TextPart("!"))
    encoded = encoder_of_parts(*parts).encode(context(["a, dé"], "?"), Prompt.STANDARD)
    assert encoded.characters == ((None, None, (3, 4), (4, 5), (4, 5), (0, 1), None),)


def test_a_part_that_reads_otherwise_than_the_text_it_is_cut_from_is_the_plugins_bug(encoder_of_parts):
    with pytest.raises(PluginError, match=r"modality 'text': a part of spans\[0\] does not read as"):
        encoder_of_parts(TextPart("de", start=3)).encode(context(["a, dé"], "?"), Prompt.STANDARD)


def test_a_tokenizer_that_cannot_tell_characters_is_refused(registry):
    with pytest.raises(ModelRefused, match="no fast one"):
        PromptEncoder(SimpleNamespace(is_fast=False), registry, "slow")


def test_characters_that_the_tokenizer_drops_are_named(smollm2_folder, registry):
    from transformers import AutoTokenizer

    encoder = PromptEncoder(AutoTokenizer.from_pretrained(smollm2_folder), registry, "smollm2")
    encoded = encoder.encode(context(["fine", "a \x16 in it"], "\U00040000?"), Prompt.STANDARD)
    assert encoded.unreadable == ("spans[1]", "question")
    assert encoder.encode(context(["fine", "标志 é 🚌"], "Why?"), Prompt.STANDARD).unreadable == ()


def test_what_the_tokenizer_normalises_is_not_lost(tiny_folder, registry):
    from tokenizers import normalizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    own = [normalizers.NFC(), normalizers.Replace("\x16", ""), normalizers.Replace("\x17", "?")]
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(own)
    encoder = PromptEncoder(tokenizer, registry, "normalising")
    apart = "Die Tu\u0308r ist gru\u0308n; \u1112\u1161\u11ab."  # as macOS writes names of files
    assert encoder.encode(context([apart], "Gru\u0308n\x17"), Prompt.STANDARD).unreadable == ()
    assert encoder.encode(context(["a \x16 in it"], "Why?"), Prompt.STANDARD).unreadable == ("spans[0]",)


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


def test_the_english_prompt_reads_as_it_always_did(encoder):
    """Profiles are fitted to these very tokens."""
    encoded = encoder.encode(context(["One.", "Two."], "Who {won}?"), Prompt.STANDARD)
    decode = encoder._tokenizer.decode
    assert "Here are some sources.\n\nOne.\n\nTwo." in decode(encoded.context_ids)
    assert "\n\nUsing all of the sources above, answer this question in English.\nWho {won}?" in decode(
        encoded.joint_tail
    )
    alone = decode(encoded.alone_tail)
    assert "\n\nQuestion: Who {won}?\nAnswer in English." in alone
    assert alone.endswith("Short answer:")


def test_the_words_of_a_prompt_are_those_of_the_language_it_is_asked_in(tiny_folder):
    from transformers import AutoTokenizer

    class Shouting(English):
        tag = "en-SHOUT"
        prompt_text = PromptText(
            "SOURCES\n\n", dict.fromkeys(list(Prompt)[1:], "\n\nASK {question}"), "\n\nALONE {question}", "SO:"
        )

    class Plugin:
        @hookimpl
        def xmguard_languages(self):
            return [Shouting()]

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    encoder = PromptEncoder(tokenizer, load_plugins(extra={"shouting": Plugin()}), "tiny")
    asked = replace(context(["One."], "Who?"), asked_in="en-shout")
    encoded = encoder.encode(asked, Prompt.STANDARD)
    assert "SOURCES\n\nOne." in tokenizer.decode(encoded.context_ids)
    assert "ASK Who?" in tokenizer.decode(encoded.joint_tail)
    alone = tokenizer.decode(encoded.alone_tail)
    assert "ALONE Who?" in alone
    assert alone.endswith("SO:")
