"""What the trained rows see, which rows an adapter changes, and that leaving out logits changes no loss."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.integration.mixing_runs import conversation, make_recipe
from xmguard.plugins import load_plugins
from xmguard.testing.tiny import make_model, make_tokenizer
from xmguard_research.mixing.bases import Base
from xmguard_research.mixing.collating import AnswerCollator, WholeCollator, row
from xmguard_research.mixing.encoding import InstanceEncoder
from xmguard_research.mixing.modelling import load_model
from xmguard_research.mixing.trainer import after_context, negative_log_likelihood

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Of float64 and with an adapter that has learnt something."""
    base = make_model(tmp_path_factory.mktemp("base") / "tiny")
    made = load_model(Base("tiny", base), make_recipe(base).train).double().eval()
    torch.manual_seed(1)
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return made


@pytest.fixture(scope="module")
def encode():
    tokenizer = make_tokenizer()
    return InstanceEncoder(tokenizer, load_plugins(), "tiny", frozenset({tokenizer.eos_token_id})).encode


def changed(instance, message, old, new):
    """The same conversation with other words, of as many tokens, in one message."""
    messages = [
        {**one, "content": [{**part, "text": part["text"].replace(old, new)} for part in one["content"]]}
        if index == message
        else one
        for index, one in enumerate(instance["messages"])
    ]
    assert messages != instance["messages"]
    return {**instance, "messages": messages}


def logits(model, encoded):
    with torch.no_grad():
        batch = WholeCollator(0)([row(encoded)])
        return model(input_ids=batch["input_ids"], use_cache=False).logits[0, : len(encoded.ids)]


def test_later_items_read_earlier_ones_and_no_item_reads_a_later_one(model, encode):
    both = conversation(0, turns=2)
    first, second = encode(both).targets
    before = logits(model, encode(both))
    other_first = logits(model, encode(changed(both, 0, "red", "tan")))
    assert (other_first[second.start : second.stop] - before[second.start : second.stop]).abs().max() > 0.01
    other_second = logits(model, encode(changed(both, 2, "blue", "grey")))
    torch.testing.assert_close(other_second[: first.stop], before[: first.stop], rtol=0, atol=1e-12)

    # What packing would do: with the mask cut between the items, the second does not see the first.
    border = first.stop + 1
    ids = torch.tensor([encode(both).ids, encode(changed(both, 0, "red", "tan")).ids])
    cut = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    cut[border:, :border] = False
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=cut.expand(2, 1, -1, -1), use_cache=False).logits
    torch.testing.assert_close(found[0, border:], found[1, border:], rtol=0, atol=1e-12)


def test_the_loss_of_the_predicting_rows_is_the_masked_cross_entropy_of_all(model, encode):
    rows = [row(encode(conversation(index, turns=1 + index % 2))) for index in range(3)]
    batch = WholeCollator(0)(rows)
    found = negative_log_likelihood(model, batch, use_cache=False)
    every = model(input_ids=batch["input_ids"], use_cache=False).logits[:, :-1].float()
    wanted = cross_entropy(every.flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=-100, reduction="sum")
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for ours, theirs in zip(torch.autograd.grad(found, weights), torch.autograd.grad(wanted, weights), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_an_adapter_of_the_answer_changes_the_rows_after_the_context_and_no_others(model, encode):
    asked = [encode(conversation(index)) for index in (0, 0, 3)]
    batch = AnswerCollator(0)([row(one) for one in asked])
    assert len(batch["context_ids"]) == 2
    with torch.no_grad():
        found = model(input_ids=batch["input_ids"], **after_context(model, model, batch)).logits
        for index, one in enumerate(asked):
            wanted = by_hand(model, one)
            torch.testing.assert_close(found[index, : len(one.ids) - one.task], wanted[one.task :], rtol=0, atol=1e-9)
            everywhere = logits(model, one)
            assert (everywhere[one.task :] - wanted[one.task :]).abs().max() > 0.01


def by_hand(model, encoded):
    """Logits where every adapter's product is added to the rows of the answer by a hook, and PEFT's own is off."""
    after = torch.arange(len(encoded.ids)) >= encoded.task

    def adding(layer):
        down, up = (side["default"].weight for side in (layer.lora_A, layer.lora_B))

        def add(module, arguments, output):
            return output + after[:, None] * (arguments[0] @ down.T @ up.T * layer.scaling["default"])

        return add

    layers = [layer for layer in model.modules() if hasattr(layer, "lora_A")]
    hooks = [layer.register_forward_hook(adding(layer)) for layer in layers]
    try:
        with model.disable_adapter():
            return model(input_ids=torch.tensor([encoded.ids]), use_cache=False).logits[0]
    finally:
        for hook in hooks:
            hook.remove()
