"""Baselines that ask a model, on tiny real ones: the explicit prompt, and a classifier in a folder."""

import json
from dataclasses import replace

import pytest
import torch
import typer
from typer.testing import CliRunner

from xmguard.context import Context, ContextSpan
from xmguard.guard import Guard
from xmguard.request import Prompt
from xmguard.span import Span
from xmguard_research.verdict.__main__ import judge, main
from xmguard_research.verdict.explicit import ExplicitPrompt
from xmguard_research.verdict.nli import Nli
from xmguard_research.verdict.pairs import Label, Pair

PAIR = Pair("k", "i", "y", "Which colour?", ("The door is red.", "Blue is the door."), ("en", "en"), Label.CONFLICT)
LABELS = {0: "entailment", 1: "neutral", 2: "Contradiction"}


def make_nli(folder, labels, **changes):
    """A classifier with random weights, and a vocabulary of a few words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[SEP]", "The", "the", "door", "is", "red", "Blue", "."]
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A [SEP] $B:1", special_tokens=[("[SEP]", 2)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=changes.pop("positions", 32),
        initializer_range=1.0,
        id2label=labels,
        label2id={name: number for number, name in labels.items()},
    )
    torch.manual_seed(0)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def nli_folder(tmp_path_factory):
    return make_nli(tmp_path_factory.mktemp("nli"), LABELS)


def test_the_explicit_prompt_reads_no_minus_yes_at_the_answers_first_token(tiny_backend, tiny_folder, registry):
    guard = Guard(tiny_backend, registry, model="tiny")
    asked = ExplicitPrompt(guard)
    spans = tuple(ContextSpan(Span(f"s{n}", text), "text", "en") for n, text in enumerate(PAIR.texts, start=1))
    prompt = tiny_backend.encode(Context(spans, PAIR.question), Prompt.EXPLICIT)
    ids = torch.tensor([[*prompt.context_ids, *prompt.joint_tail]])
    # The plain model, asked in one pass without xmguard's attention.
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(tiny_folder, attn_implementation="eager").eval()
    with torch.inference_mode():
        logits = plain(ids).logits[0, -1].double()
    tokenizer = tiny_backend.loaded.tokenizer
    # The tiny model's tokens are characters.
    yes, no = (
        [tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in both] for both in ("yY", "nN")
    )
    expected = logits[no].logsumexp(0) - logits[yes].logsumexp(0)
    assert asked.score(PAIR) == pytest.approx(float(expected), abs=1e-4)


def test_an_nli_model_is_asked_in_both_directions(nli_folder):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(nli_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(nli_folder)
    first, second = PAIR.texts
    both = []
    for texts in ((first, second), (second, first)):
        with torch.inference_mode():
            both.append(float(model(**tokenizer(*texts, return_tensors="pt")).logits[0].softmax(-1)[2]))
    assert abs(both[0] - both[1]) > 1e-3, "the directions differ, or the test shows nothing"
    asked = Nli(nli_folder)
    assert asked.score(PAIR) == pytest.approx(max(both))
    assert asked.score(replace(PAIR, texts=(second, first))) == pytest.approx(max(both))


def test_a_pair_that_is_too_long_for_the_nli_model_has_no_score(tmp_path):
    short = Nli(make_nli(tmp_path, LABELS, positions=8))
    assert short.score(PAIR) is None


def test_a_model_without_a_contradiction_label_is_refused(tmp_path, nli_folder):
    with pytest.raises(ValueError, match=r"entailment, other.*id2label"):
        Nli(make_nli(tmp_path, {0: "entailment", 1: "other"}))
    with pytest.raises(ValueError, match=r"config\.json"):
        Nli(tmp_path / "nothing")
    assert json.loads((nli_folder / "config.json").read_text())["id2label"]["2"] == "Contradiction"


def test_the_command_asks_a_model_once_about_every_pair(tiny_folder, nli_folder, tmp_path, monkeypatch):
    app = typer.Typer()
    app.command()(main)
    arguments = ["--templates", "4", "--items", "1", "--model", str(tiny_folder), "--nli", str(nli_folder)]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    judged, inferred = ((tmp_path / name).read_text() for name in ("judged.jsonl", "nli.jsonl"))
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert len(judged.splitlines()) == len(inferred.splitlines()) <= len(scores)
    assert all(score["decision"] for score in scores)
    assert {"explicit prompt", "nli contradiction"} <= set(scores[0]["scores"])
    assert len({score["scores"]["explicit prompt"] for score in scores}) > 1
    monkeypatch.setattr(Guard, "check", None)
    again = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert again.exit_code == 0, again.output
    assert (tmp_path / "judged.jsonl").read_text() == judged
    assert [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()] == scores


def test_a_pair_that_does_not_fit_into_the_model_is_said_to_be_too_long(tiny_backend, registry):
    guard = Guard(tiny_backend, registry, model="tiny")
    texts = ("The door is red. " * 2000, "The door is blue.")
    (judged,) = judge(guard, ExplicitPrompt(guard), replace(PAIR, texts=texts))
    assert (judged.decision, judged.probability, judged.explicit) == ("TOO LONG", None, None)
