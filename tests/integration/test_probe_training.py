"""Training the pair probe on a tiny model, and serving what was trained."""

import json
from dataclasses import replace
from itertools import product

import pytest
import torch
from transformers import AutoModelForCausalLM

from xmguard.backends.prompting import PromptEncoder
from xmguard.backends.transformers.loader import load
from xmguard.bias import AttentionBias
from xmguard.context import Context, ContextSpan
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.request import Prompt
from xmguard.span import Span
from xmguard_research.probe.__main__ import encode
from xmguard_research.probe.examples import LABELS, Example
from xmguard_research.probe.training import Recipe, TailClassifier, collate, load_source, save, train

# Two of PEFT and transformers that concern what we do not use: an old name, and pinned memory without a GPU.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*pin_memory:UserWarning"),
]

RECIPE = Recipe(
    layers=2, task="\nSame? {question}", rank=4, dropout=0.0, learning_rate=1e-2, epochs=6, batch=8, warmup=0.0
)
BFLOAT16 = 0.05
"""Of the largest logit: bfloat16 keeps 8 bits, and two layers, two norms and a classifier each round to them."""

COLOURS = ("red", "blue", "no word of it")


def examples():
    """Twice 9: the same colour agrees, two colours conflict, no colour is no answer."""
    found = []
    for item, (a, b) in enumerate(product(COLOURS, repeat=2)):
        label = 2 if COLOURS[2] in (a, b) else int(a == b)
        for thing in ("door", "lamp"):
            texts = (f"The {thing}: {a}.", f"It is {b}.")
            found.append(Example(str(item), f"Which colour is the {thing}?", texts, label, "pair"))
    return found


@pytest.fixture(scope="module")
def rows(tiny_backend, tiny_folder, registry):
    encoder = PromptEncoder(tiny_backend.loaded.tokenizer, registry, "tiny", probe_task=RECIPE.task)
    made = encode(examples(), encoder)
    TailClassifier(tiny_folder, RECIPE).read_contexts(made, 4, lambda n: None)
    return made


@pytest.fixture(scope="module")
def trained(tiny_folder, rows, tmp_path_factory):
    """The classifier, its loss before and after, and what a profile says of it once it is saved."""
    folder = tmp_path_factory.mktemp("training")
    classifier = TailClassifier(tiny_folder, RECIPE)
    before = loss(classifier, rows)
    train(classifier, rows, RECIPE, folder)
    after = loss(classifier, rows)
    return classifier, before, after, save(classifier, RECIPE, folder)


@torch.inference_mode()
def forward(classifier, rows):
    classifier.eval()
    return classifier(**collate(rows, torch.ones(len(LABELS))))


def loss(classifier, rows):
    return float(forward(classifier, rows)["loss"])


def test_a_few_steps_lower_the_loss_and_leave_the_model_alone(trained, tiny_folder):
    classifier, before, after, _ = trained
    assert after < 0.7 * before
    untouched = TailClassifier(tiny_folder, RECIPE).peft.state_dict()
    for name, weight in classifier.peft.state_dict().items():
        changes = "lora_" in name or "modules_to_save" in name
        assert changes or torch.equal(weight, untouched[name]), name


def test_the_context_is_read_as_the_frozen_model_reads_it(tiny_folder, rows):
    base = AutoModelForCausalLM.from_pretrained(tiny_folder).model.requires_grad_(False)
    short, long = min(rows, key=lambda row: len(row.context)), max(rows, key=lambda row: len(row.context))
    for row in (short, long):  # the shorter one was padded beside others
        cache = base(input_ids=torch.tensor([row.context]), use_cache=True).past_key_values
        for layer in range(RECIPE.layers):
            want = torch.stack([cache.layers[layer].keys[0], cache.layers[layer].values[0]])
            assert row.cache[layer].shape == want.shape
            assert float((row.cache[layer].float() - want).abs().max()) < BFLOAT16 * float(want.abs().max())


def test_logits_do_not_depend_on_who_shares_the_batch(trained, rows):
    classifier, *_ = trained
    together = forward(classifier, rows)["logits"]
    alone = torch.cat([forward(classifier, [row])["logits"] for row in rows])
    torch.testing.assert_close(together, alone, rtol=0, atol=BFLOAT16 * float(together.abs().max()))


def test_what_was_trained_is_what_is_served(trained, rows, tiny_folder, registry):
    classifier, _, _, source = trained
    assert load_source(source.folder.parent) == source
    backend = load(tiny_folder, registry=registry, probe=source)
    said = forward(classifier, rows)["logits"]
    served = []
    for example, row in zip(examples(), rows, strict=True):
        spans = tuple(ContextSpan(Span(f"s{n}", text), "text", "en") for n, text in enumerate(example.texts, 1))
        prompt = backend.encode(Context(spans, example.question), Prompt.STANDARD)
        assert (list(prompt.context_ids), list(prompt.probe_tail)) == (row.context, row.tail)
        session = backend.open(prompt, Stop())
        served += session.probe([Branch("pair", prompt.probe_tail, AttentionBias())])
        session.close()
    served = torch.tensor(served)
    torch.testing.assert_close(served, said, rtol=0, atol=BFLOAT16 * float(said.abs().max()))
    assert float(served.std(0).min()) > 5 * BFLOAT16, "the rows differ by more than rounding"


def test_what_is_saved_names_no_folder_of_the_machine(trained, tiny_folder):
    settings = (trained[-1].folder / "adapter_config.json").read_text()
    assert str(tiny_folder) not in settings
    assert json.loads(settings)["base_model_name_or_path"] is None


def test_classes_that_are_rare_weigh_more(rows, tiny_folder, tmp_path, monkeypatch):
    from xmguard_research.probe import training

    seen = {}
    monkeypatch.setattr(
        training, "_trainer", lambda model, recipe, folder, rows, weights: seen.update(weights=weights) or NoTrainer()
    )
    train(None, [row for row in rows if row.label != 1], RECIPE, tmp_path)
    conflicts, unanswered = (sum(row.label == label for row in rows) for label in (0, 2))
    weights = seen["weights"].tolist()
    assert weights[1] == 0.0
    assert weights[0] * conflicts == pytest.approx(weights[2] * unanswered)


class NoTrainer:
    def train(self):
        pass


def test_a_row_whose_context_was_not_read_is_refused(rows):
    with pytest.raises(ValueError, match=r"call TailClassifier\.read_contexts first"):
        collate([rows[0], replace(rows[1], cache=None)], torch.ones(3))
