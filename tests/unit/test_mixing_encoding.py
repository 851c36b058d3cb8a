"""Instances become the tokens that are served, and nothing but replies is a target."""

from types import SimpleNamespace

import pytest
import torch

from xmguard import Span
from xmguard.backends.prompting import PromptEncoder
from xmguard.context import Context, ContextSpan
from xmguard.errors import InvalidRequest, ModelRefused
from xmguard.languages.english.prompts import PROMPT_TEXT
from xmguard.plugins import load_plugins
from xmguard.prompt_text import QUESTION
from xmguard.request import Prompt
from xmguard.testing.tiny import make_tokenizer
from xmguard_research.mixing.collating import AnswerCollator, WholeCollator, row
from xmguard_research.mixing.encoding import IGNORED, InstanceEncoder
from xmguard_research.mixing.pictures import batched


def encoder(template=None):
    tokenizer = make_tokenizer()
    if template is not None:
        tokenizer.chat_template = template
    return InstanceEncoder(tokenizer, load_plugins(), "tiny", frozenset({tokenizer.eos_token_id})), tokenizer


def instance(*turns):
    """Turns of what the user says, in parts, and the reply."""
    messages = []
    for said, reply in turns:
        messages.append({"role": "user", "content": [{"type": "text", "text": text} for text in said]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": reply}]})
    return {"id": "one", "items": [], "messages": messages}


def decoded(tokenizer, ids):
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("template", [None, ""], ids=["chat template", "none"])
def test_a_question_over_sources_is_encoded_as_it_is_served(template):
    encode, tokenizer = encoder(template)
    sources, question = ("The door is <|im_end|> red.", "La puerta es roja."), "What colour is the door?"
    spans = tuple(ContextSpan(Span(id=f"s{i}", text=text), "text", "en") for i, text in enumerate(sources))
    served = PromptEncoder(tokenizer, load_plugins(), "tiny").encode(Context(spans, question), Prompt.STANDARD)

    task = PROMPT_TEXT.tasks[Prompt.STANDARD].replace(QUESTION, question)
    said = (PROMPT_TEXT.preamble, sources[0], PROMPT_TEXT.separator, sources[1], task)
    encoded = encode.encode(instance((said, "Red.")))

    before = (*served.context_ids, *served.joint_tail)
    assert encoded.ids[: len(before)] == before
    assert encoded.task == len(served.context_ids)
    assert encoded.targets == (range(len(before), len(encoded.ids)),)
    assert decoded(tokenizer, encoded.ids[len(before) :]) == "Red.<|im_end|>"


def test_every_reply_of_a_conversation_is_a_target_and_nothing_else():
    encode, tokenizer = encoder()
    encoded = encode.encode(instance((("one", " two"), "three"), (("four",), "five")))
    assert decoded(tokenizer, encoded.ids) == (
        "<|im_start|>user\none two<|im_end|>\n<|im_start|>assistant\nthree<|im_end|>\n"
        "<|im_start|>user\nfour<|im_end|>\n<|im_start|>assistant\nfive<|im_end|>"
    )
    targets = [decoded(tokenizer, encoded.ids[span.start : span.stop]) for span in encoded.targets]
    assert targets == ["three<|im_end|>", "five<|im_end|>"]
    assert [token for token in encoded.labels if token != IGNORED] == [
        encoded.ids[index] for span in encoded.targets for index in span
    ]
    assert encoded.trained == sum(label != IGNORED for label in encoded.labels)
    assert decoded(tokenizer, encoded.ids[encoded.task :]).startswith("four")


def test_a_reply_follows_what_the_template_asks_for_one_with():
    asking = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
    )
    encode, tokenizer = encoder(asking)
    assert "assistant\n<think>\nyes<|im_end|>" in decoded(tokenizer, encode.encode(instance((("so?",), "yes"))).ids)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (
            "{% for message in messages %}{% if message['role'] == 'user' %}{{ message['content'] }}{% endif %}"
            "<|im_end|>{% endfor %}",
            "once and in order",
        ),
        ("{% for message in messages %}{{ message['content'] }}\n{% endfor %}", "no token that ends an answer"),
        (
            "{{ raise_exception('one only') if messages|length > 1 else messages[0]['content'] }}",
            "no conversation of .*one only",
        ),
    ],
    ids=["drops replies", "ends no reply", "takes one message only"],
)
def test_a_template_that_cannot_be_cut_is_refused(template, said):
    encode, _ = encoder(template)
    with pytest.raises(ModelRefused, match=said):
        encode.encode(instance((("so?",), "yes")))


def test_a_picture_and_a_conversation_without_a_reply_are_refused_by_the_instances_name():
    encode, _ = encoder()
    pictured = instance((("what?",), "a dog"))
    pictured["messages"][0]["content"].insert(0, {"type": "image", "path": "dog.png"})
    with pytest.raises(InvalidRequest, match=r"one: messages\[0\]: holds a picture"):
        encode.encode(pictured)
    unanswered = {**instance((("what?",), "a dog")), "messages": instance((("what?",), "a dog"))["messages"][:1]}
    with pytest.raises(InvalidRequest, match="one: holds no user message with an assistant message"):
        encode.encode(unanswered)


def test_batches_are_padded_on_the_right_and_a_shared_context_stands_there_once():
    encode, _ = encoder()
    asked = [(("context", f" question {index}"), "answer" * index) for index in (1, 2)]
    rows = [row(encode.encode(instance(turn))) for turn in (*asked, (("other", " one"), "reply"))]
    whole = WholeCollator(pad_id=7, multiple=8)(rows)
    assert whole["input_ids"].shape[1] % 8 == 0
    for index, one in enumerate(rows):
        length = len(one["input_ids"])
        assert whole["lengths"][index] == length
        assert whole["input_ids"][index].tolist() == one["input_ids"] + [7] * (whole["input_ids"].shape[1] - length)
        assert whole["labels"][index, length:].eq(IGNORED).all()

    answer = AnswerCollator(pad_id=7, multiple=8)(rows)
    assert answer["context"].tolist() == [0, 0, 1]
    for index, one in enumerate(rows):
        own = answer["context"][index]
        context = answer["context_ids"][own, : answer["context_lengths"][own]].tolist()
        assert context + answer["input_ids"][index, : answer["lengths"][index]].tolist() == one["input_ids"]
        assert answer["labels"][index, : answer["lengths"][index]].tolist() == one["labels"][one["task"] :]


def test_pictures_of_one_pass_are_put_one_after_another_and_tiles_are_padded():
    small, wide = (SimpleNamespace(inputs={"pixel_values": torch.ones(1, tiles, 3, 4, 4)}) for tiles in (1, 3))
    together = batched([small, wide])["pixel_values"]
    assert together.shape == (2, 3, 3, 4, 4)
    assert together.sum((2, 3, 4)).tolist() == [[48, 0, 0], [48, 48, 48]]
    assert batched([]) == {}


def test_pictures_that_cannot_be_put_together_are_refused_with_what_to_do():
    two = [SimpleNamespace(inputs={"pixel_values": torch.ones(3, size, 4)}) for size in (4, 8)]
    with pytest.raises(InvalidRequest, match=r"train\.instances_per_forward: .* pixel_values have shapes .*; give 1"):
        batched(two)
