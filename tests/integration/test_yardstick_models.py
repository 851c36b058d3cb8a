"""Baselines that ask a model, on tiny real ones: the explicit prompt, and a classifier in a folder."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from xmguard.context import Context, ContextSpan
from xmguard.errors import SetupIncomplete
from xmguard.guard import Guard
from xmguard.loading import load_guard
from xmguard.plugins import load_plugins
from xmguard.request import Prompt
from xmguard.span import Span
from xmguard.testing.tiny_pictures import make_picture_model
from xmguard_research.scenes import assets
from xmguard_research.verdict import __main__ as command
from xmguard_research.verdict.__main__ import main
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
    files = [tmp_path / name for name in ("gathered.jsonl", "explicit.jsonl", "nli.jsonl")]
    written = [path.read_text() for path in files]
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert len({len(text.splitlines()) for text in written}) == 1
    assert len(written[0].splitlines()) <= len(scores)
    assert all(score["decision"] for score in scores)
    assert {"explicit prompt", "nli contradiction", "feature answers_differ"} <= set(scores[0]["scores"])
    assert len({score["scores"]["explicit prompt"] for score in scores}) > 1
    monkeypatch.setattr(Guard, "evidence", None)
    monkeypatch.setattr(ExplicitPrompt, "score", None)
    monkeypatch.setattr(Nli, "score", None)
    again = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert again.exit_code == 0, again.output
    assert [path.read_text() for path in files] == written
    assert [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()] == scores


@pytest.fixture
def with_pictures(monkeypatch):
    """The art is here, and guards are loaded with the modality `image`, from its source folder."""
    try:
        assets.art("noto")
    except SetupIncomplete as missing:
        pytest.skip(str(missing))
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "plugins" / "xmguard-image" / "src")
    import xmguard_image

    registry = load_plugins(extra={"image": xmguard_image})
    monkeypatch.setattr(command, "load_guard", partial(load_guard, registry=registry))


def on_pictures(model, out):
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, ["--pictures", "1", "--model", str(model), "--out", str(out)])


def test_the_command_asks_a_model_about_pictures_and_sentences(with_pictures, tmp_path):
    model = make_picture_model(tmp_path / "model")
    done = on_pictures(model, tmp_path / "out")
    assert done.exit_code == 0, (done.output, done.exception)
    scores = [json.loads(line) for line in (tmp_path / "out" / "scores.jsonl").read_text().splitlines()]
    assert [score["yardstick"] for score in scores] == ["pictures-noto"] * 8 + ["pictures-noto-shuffled"] * 4
    assert all(score["decision"] for score in scores)
    assert {"text only", "picture only", "explicit prompt"} <= set(scores[0]["scores"])
    assert "word overlap" not in scores[0]["scores"]
    assert len({score["scores"]["explicit prompt"] for score in scores}) == 12, "every picture and order is looked at"
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| AUROC in pictures-noto | picture first, 1 items | text first, 1 items |" in report
    assert "have something irrelevant beside them" in report


def test_a_model_that_reads_no_pictures_is_refused_before_anything_is_asked(with_pictures, tiny_folder, tmp_path):
    done = on_pictures(tiny_folder, tmp_path / "out")
    assert done.exit_code == 2
    assert "reads no pictures" in done.output
    assert not (tmp_path / "out").exists()


def test_without_the_image_plugin_it_is_said_what_to_install(with_pictures, tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "load_guard", load_guard)
    done = on_pictures(tiny_folder, tmp_path / "out")
    assert isinstance(done.exception, SetupIncomplete)
    assert "pip install ./plugins/xmguard-image" in str(done.exception)


def test_a_pair_that_does_not_fit_into_the_model_is_said_to_be_too_long_and_asked_nothing(tiny_folder, tmp_path):
    app = typer.Typer()
    app.command()(main)
    row = {"id": 1, "question": PAIR.question, "support": ["The door is red. " * 2000, "Red is the door."]}
    row |= {"contradict": ["The door is blue.", "Blue is the door."], "changed_answer": ["blue", "blue"]}
    (tmp_path / "items.jsonl").write_text(json.dumps(row))
    arguments = ["--statements", str(tmp_path / "items.jsonl"), "--model", str(tiny_folder), "--out", str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    said = {score["key"].split("|")[2]: (score["decision"], score["scores"]["explicit prompt"]) for score in scores}
    assert {name for name, (decision, _) in said.items() if decision == "TOO_LONG"} == {"s0-c1", "s0-s1"}
    assert {name for name, (_, explicit) in said.items() if explicit is None} == {"s0-c1", "s0-s1"}
