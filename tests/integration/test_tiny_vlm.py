"""Training the tiny vision-language model: packing, learning and resuming."""

import json
import random
from dataclasses import replace
from functools import partial
from itertools import islice

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.integration.tiny_training import SIDE, VISION, drawn, make_base, make_parts, random_tower
from xmguard_research.scenes import Mark, scenes
from xmguard_research.tiny_vlm.answering import Asker
from xmguard_research.tiny_vlm.budget import Budget
from xmguard_research.tiny_vlm.checkpoints import LOG, SPENT, TRAINED
from xmguard_research.tiny_vlm.examples import conversations, described
from xmguard_research.tiny_vlm.features import Gallery, extract, keep_features
from xmguard_research.tiny_vlm.figures import draw_log
from xmguard_research.tiny_vlm.grounding import Grounder, labelled, recall
from xmguard_research.tiny_vlm.learner import Learner
from xmguard_research.tiny_vlm.packing import collate
from xmguard_research.tiny_vlm.prompts import Asked, Prompter
from xmguard_research.tiny_vlm.recipe import Recipe, Stage
from xmguard_research.tiny_vlm.training import evaluating, train_stage
from xmguard_research.tiny_vlm.validating import by_skill, exact_matches
from xmguard_smolvlm_tiny import travelling
from xmguard_smolvlm_tiny.assembly import assemble

# Two of PEFT and transformers that concern what we do not use: an old name, and pinned memory without a GPU.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*pin_memory:UserWarning"),
]

RECIPE = Recipe(rank=4, alpha=8, warmup=0.0)
STAGE = Stage("adapter", share=1.0, projector_rate=1e-2, adapter_rate=1e-2, batch=2)
GROUNDING = Stage("grounding", share=1.0, projector_rate=1e-3, adapter_rate=0.0, batch=6)


def for_tokens(tokens):
    return replace(RECIPE, minutes=None, tokens=tokens, stages=(GROUNDING, STAGE))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Of weights that bfloat16 can hold, so that what is trained and what is assembled have the same."""
    folder = make_base(tmp_path_factory.mktemp("base"))
    weights = load_file(folder / "model.safetensors")
    rounded = {name: value.bfloat16().float() for name, value in weights.items()}
    save_file(rounded, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def processor(base):
    return make_parts(base)[1]


@pytest.fixture(scope="module")
def prompter(processor, registry):
    return Prompter(processor, registry)


@pytest.fixture(scope="module")
def gallery(base, processor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    keep_features(drawn(6), 6, folder, make_parts(base)[0].model.vision_tower, processor)
    return Gallery(folder, 6)


@pytest.fixture
def pack(gallery, processor):
    return partial(collate, features=gallery.features, image_token=processor.image_token_id)


@pytest.fixture
def rows(gallery, prompter):
    """Each picture with its questions, the last two with a text beside it, and one text alone."""
    found = [prompter.conversation([None], one.asked, index) for index, one in enumerate(gallery.seen)]
    found[-2] = prompter.conversation(["Some words.", None], gallery.seen[-2].asked[:2], len(found) - 2)
    found[-1] = prompter.conversation([None, "Some words."], gallery.seen[-1].asked[:2], len(found) - 1)
    return [*found, prompter.conversation(["The door is red."], [Asked("Which colour?", "red", "colour", joint=True)])]


@pytest.fixture
def learner(base):
    """In float32, with an adapter that changes something (a fresh one is zero), of numbers that travel unchanged."""
    made = Learner(make_parts(base)[0], RECIPE).float()
    torch.manual_seed(3)
    for parameter in made.groups(STAGE)[1]["params"]:
        torch.nn.init.normal_(parameter, std=0.05)
    made.load_trained({name: value.half().float() for name, value in made.trained().items()})
    return made


def test_prompts_are_the_served_ones_with_an_answer_that_ends(prompter, processor):
    asked = [Asked("What is it?", "a key", "object"), Asked("What is it?", "a key", "object", joint=True)]
    made = prompter.conversation([None, "Two keys."], asked, 0)
    decode = processor.tokenizer.decode
    picture = "<image>" * processor.image_seq_length
    assert decode(made.context).endswith(f"<|im_start|>user\nHere are some sources.\n\n{picture}\n\nTwo keys.")
    alone, joint = made.branches
    assert decode(alone.tail) == (
        "\n\nQuestion: What is it?\nAnswer in English.<|im_end|>\n<|im_start|>assistant\nShort answer:"
    )
    assert decode(alone.answer) == " a key<|im_end|>"
    assert decode(joint.tail).startswith(
        "\n\nUsing all of the sources above, answer this question in English.\nWhat is it?"
    )
    assert decode(joint.answer) == "a key<|im_end|>"


def test_a_packed_branch_reads_as_it_does_by_itself_in_the_assembled_model(
    base, learner, rows, pack, gallery, processor, tmp_path
):
    tensors = learner.trained() | {f"vision_tower.{name}": value for name, value in random_tower().items()}
    travelling.write(tensors, tmp_path / "w", base="b", lora_scale=RECIPE.lora_scale, vision=VISION, training={})
    file = tmp_path / "w" / travelling.TENSORS
    (tmp_path / "model").mkdir()
    assemble(base, file, vision=VISION, lora_scale=RECIPE.lora_scale, folder=tmp_path / "model")
    asker = Asker.seeing(tmp_path / "model")
    with torch.no_grad():
        packed = learner.logits(pack(rows))
    place = 0
    pictures = list(drawn(6))
    for row in rows:
        image = None if row.picture is None else pictures[row.picture].image
        for branch in row.branches:
            ids = torch.tensor([[*row.context, *branch.tail, *branch.answer[:-1]]])
            seen = {} if image is None else dict(processor.image_processor([image], return_tensors="pt"))
            with torch.no_grad():
                alone = asker._model(input_ids=ids, **seen).logits[0, -len(branch.answer) :]
            # The kept features are in half precision.
            assert torch.allclose(packed[place : place + len(branch.answer)], alone, atol=0.06)
            place += len(branch.answer)
    assert place == len(packed)


def test_the_loss_is_on_the_answers_alone(learner, rows, pack):
    batch = pack(rows)
    last = {tuple(place) for place in batch["answer_at"].tolist()}
    assert len(last) == sum(len(branch.answer) for row in rows for branch in row.branches)
    gradients = []
    learner.language.base_model.model.norm.register_forward_hook(
        lambda module, given, made: made.register_hook(gradients.append) and None
    )
    learner(**batch)["loss"].backward()
    touched = {tuple(place) for place in gradients[0].abs().sum(-1).nonzero().tolist()}
    assert touched == last


def test_branches_are_blind_to_each_other_and_see_the_context(learner, rows, pack):
    row = rows[0]
    first, *others = row.branches
    changed = replace(first, tail=(*first.tail[:-1], first.tail[-1] + 1))
    with torch.no_grad():
        before = learner.logits(pack([row]))
        other_tail = learner.logits(pack([replace(row, branches=(changed, *others))]))
    own = len(first.answer)
    assert not torch.allclose(before[:own], other_tail[:own], atol=1e-3)
    assert torch.allclose(before[own:], other_tail[own:], atol=1e-5)
    with torch.no_grad():
        elsewhere = learner.logits(pack([replace(row, picture=1)]))
    for start in range(len(before)):
        assert not torch.allclose(before[start], elsewhere[start], atol=1e-5)


def test_a_description_states_every_fact_once_and_small_print_is_rare(gallery, prompter):
    one = gallery.seen[0]
    said = described(one, random.Random(0)).answer
    facts = list(zip(one.sentences[::2], one.sentences[1::2], strict=True))
    assert [sum(text in said for text in both) for both in facts] == [1] * len(facts)
    assert len(said) == sum(len(text) for both in facts for text in both if text in said) + len(facts) - 1
    lone = replace(RECIPE, described=1.0, texts=0.0, mixed=0.0)
    skills = [
        [branch.asked.skill for branch in row.branches] for row in conversations(gallery.seen, [], prompter, lone)
    ]
    assert all(own.count("description") == 1 and "presence" not in own for own in skills)
    papers = [replace(one, kind="table")] * 200
    kept = conversations(papers, [], prompter, replace(lone, small_print=0.25))
    assert 20 < len(kept) < 80
    assert len(conversations(papers, [], prompter, replace(lone, small_print=1.0))) == 200


def test_rows_are_padded_to_few_shapes_without_effect(learner, rows, pack):
    batch = pack(rows)
    assert batch["ids"].shape[1] % 16 == 0
    assert int(batch["tokens"]) == sum(row.tokens for row in rows)
    with torch.no_grad():
        together = learner.logits(batch)
        single = torch.cat([learner.logits(pack([row])) for row in rows])
    assert torch.allclose(together, single, atol=1e-4)


def test_exact_matches_are_those_whose_every_token_is_the_likeliest(learner, rows, pack):
    # Answers of one token: of longer ones the first would decide what the second is predicted from.
    short = [
        replace(row, branches=tuple(replace(one, answer=one.answer[:1]) for one in row.branches)) for row in rows[:2]
    ]
    batch = pack(short)
    with evaluating(learner):
        likeliest = iter(learner.logits(batch).argmax(-1).tolist())
    said = [
        replace(row, branches=tuple(replace(one, answer=(next(likeliest),)) for one in row.branches)) for row in short
    ]
    matches = exact_matches(learner, said, pack, batch=2)
    assert all(matches)
    wrong = replace(said[0].branches[0], answer=((said[0].branches[0].answer[0] + 1) % 200,))
    said[0] = replace(said[0], branches=(wrong, *said[0].branches[1:]))
    matches = exact_matches(learner, said, pack, batch=2)
    assert matches == [False] + [True] * (len(matches) - 1)
    assert by_skill(said, matches)["all"] == round(1 - 1 / len(matches), 4)


def test_features_are_the_towers_and_a_stopped_run_goes_on(base, processor, tmp_path, monkeypatch):
    monkeypatch.setattr("xmguard_research.tiny_vlm.features.SHARD", 4)
    tower = make_parts(base)[0].model.vision_tower

    def stopping():
        yield from islice(drawn(10), 6)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep_features(stopping(), 10, tmp_path, tower, processor)
    done = (tmp_path / "00000.safetensors").stat().st_mtime_ns
    keep_features(drawn(10), 10, tmp_path, tower, processor)
    assert (tmp_path / "00000.safetensors").stat().st_mtime_ns == done
    gallery = Gallery(tmp_path, 10)
    assert len(gallery) == 10
    for index, one in enumerate(drawn(10)):
        assert gallery.seen[index].id == one.id
        assert torch.equal(gallery.features(index), extract(tower, processor, [one.image])[0])


def test_the_mixture_holds_what_the_recipe_says_and_asks_about_one_source_only(gallery, prompter):
    seen = [gallery.seen[index % 6] for index in range(300)]
    recipe = replace(RECIPE, texts=0.2, mixed=0.3, joint=0.5)
    made = conversations(seen, scenes(split="train", seed=1, count=900), prompter, recipe)
    alone = [row for row in made if row.picture is None]
    start = len(prompter.conversation([None], [], 0).context)
    mixed = [row for row in made if row.picture is not None and len(row.context) > start]
    assert len(alone) / len(made) == pytest.approx(0.2, abs=0.06)
    assert len(mixed) / len(made) == pytest.approx(0.3, abs=0.06)
    assert all(branch.asked.joint for row in mixed for branch in row.branches)
    joint = [branch.asked.joint for row in made if row not in mixed for branch in row.branches]
    assert sum(joint) / len(joint) == pytest.approx(0.5, abs=0.06)
    assert made == conversations(seen, scenes(split="train", seed=1, count=900), prompter, recipe)


def trained(learner, rows, pack, out, tokens, **options):
    return train_stage(learner, rows, pack, STAGE, for_tokens(tokens), out, log_every=1, **options)


def test_training_lowers_the_loss_and_writes_log_and_picture(base, rows, pack, tmp_path):
    model = make_parts(base)[0]
    torch.manual_seed(0)
    learner = Learner(model, RECIPE)
    folder, budget = trained(learner, rows, pack, tmp_path, 10_000, validate=lambda: {"all": 0.5})
    assert budget.progress == 1.0
    log = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    losses = [row["loss"] for row in log if "loss" in row]
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    assert log[-1]["validation"] == {"all": 0.5}
    assert log[-2]["learning_rate"] < 0.2 * STAGE.projector_rate
    draw_log(tmp_path / LOG, tmp_path / "log.png")
    assert (tmp_path / "log.png").stat().st_size > 10_000
    assert all(torch.equal(value, learner.trained()[name]) for name, value in load_file(folder / TRAINED).items())


def test_a_stopped_run_goes_on_where_it_was_and_a_finished_one_is_loaded(base, rows, pack, tmp_path):
    def stop():
        raise KeyboardInterrupt

    learner = Learner(make_parts(base)[0], RECIPE)
    with pytest.raises(KeyboardInterrupt):
        trained(learner, rows, pack, tmp_path, 3000, save_minutes=0.0, validate=stop)
    again = Learner(make_parts(base)[0], RECIPE)
    folder, budget = trained(again, rows, pack, tmp_path, 3000)
    log = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    steps = [row["step"] for row in log if "loss" in row]
    assert steps == sorted(set(steps))
    tokens = [row["tokens"] for row in log if "loss" in row]
    assert tokens == sorted(tokens)
    assert budget.tokens_spent == tokens[-1] == json.loads((folder / SPENT).read_text())["tokens_spent"]
    fresh = Learner(make_parts(base)[0], RECIPE)
    assert trained(fresh, rows, pack, tmp_path, 3000)[0] == folder
    assert all(torch.equal(value, fresh.trained()[name]) for name, value in again.trained().items())


def test_a_cell_says_the_words_whose_region_covers_enough_of_it():
    marks = [
        Mark(("cat", "3"), (0, 0, 112, 56)),  # the left half of the upper row of a grid of four
        Mark(("k",), (110, 0, 120, 10), spelled=True),  # two units of ten are in the left cell
        Mark(("red",), (0, 0, 224, 224)),
    ]
    made = labelled(
        marks, 5, 2, lambda mark: [{"cat": 10, "3": 11, "k": 12, "red": 13}[word] for word in mark.words], 0.3
    )
    assert (made.picture, made.cells, made.tokens) == (5, 4, 4)
    assert sorted(made.labels) == [(0, 10), (0, 11), (0, 13), (1, 12), (1, 13), (2, 13), (3, 13)]


def test_words_are_taught_as_they_are_answered_and_letters_without_a_blank(prompter):
    ids = prompter.conversation([None], [Asked("?", "stop", "sign")], 0).branches[0].answer[:-1]
    assert prompter.words(Mark(("STOP",), (0, 0, 1, 1))) == list(ids)
    assert prompter.words(Mark(("S",), (0, 0, 1, 1), spelled=True)) == list(prompter._encoder.ids("s"))


@pytest.fixture
def taught(gallery):
    """One token for every value; the tiny tokenizer's words are many bytes."""
    values = sorted({word for one in gallery.seen for mark in one.marks for word in mark.words})
    return [
        labelled(one.marks, index, SIDE, lambda mark: [values.index(mark.words[0])], RECIPE.covered)
        for index, one in enumerate(gallery.seen)
    ]


def test_grounding_brings_cells_near_their_words_and_what_it_learned_is_kept(base, gallery, taught, tmp_path):
    model = make_parts(base)[0]
    table = model.get_input_embeddings().weight.detach()
    grounder = Grounder(model.model.projector, table, taught, RECIPE)
    batch = grounder.collate(taught, gallery.features)
    before = recall(grounder, batch)
    pack = partial(grounder.collate, features=gallery.features)
    train_stage(grounder, taught, pack, GROUNDING, for_tokens(500), tmp_path)
    after = recall(grounder.eval(), batch)
    assert before < 0.5 < 0.9 < after
    # Not the classifier alone: the embeddings themselves point to the words.
    embedded = model.model.projector(batch["features"].float()) - grounder.mean
    right = []
    for picture, cell, place in batch["labels"].tolist():
        nearest = torch.cosine_similarity(embedded[picture, cell][None], grounder.words, dim=-1).argsort()
        right.append(place in nearest[-4:])
    assert sum(right) / len(right) > 0.8
    # A run that finds the stage done loads it into a fresh projector, which the next stage then goes on with.
    fresh = make_parts(base)[0]
    again = Grounder(fresh.model.projector, table, taught, RECIPE)
    train_stage(again, taught, pack, GROUNDING, for_tokens(500), tmp_path)
    learner = Learner(fresh, RECIPE)
    kept = load_file(tmp_path / "grounding" / next((tmp_path / "grounding").glob("checkpoint-*")).name / TRAINED)
    for name, value in learner.trained().items():
        assert name.startswith("language_model.") or torch.equal(value, kept[name])


def test_labels_of_unknown_words_are_left_out(base, gallery, taught):
    model = make_parts(base)[0]
    grounder = Grounder(model.model.projector, model.get_input_embeddings().weight.detach(), taught[:1], RECIPE)
    strange = replace(taught[0], labels=(*taught[0].labels, (0, 10**6)))
    assert torch.equal(
        grounder.collate([strange], gallery.features)["labels"],
        grounder.collate(taught[:1], gallery.features)["labels"],
    )


def test_a_budget_of_minutes_is_spent_by_the_clock(monkeypatch, tmp_path):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    budget = Budget(minutes=1.0)
    budget.start()
    rates = []
    for _ in range(6):
        now[0] += 10.0
        budget.spend(5)
        rates.append(budget.rate(0.25))
    assert budget.progress == 1.0
    assert rates[0] < rates[1]
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] == pytest.approx(0.0)
    budget.save(tmp_path / "b")
    other = Budget(minutes=1.0)
    other.resume(tmp_path / "b")
    assert (other.progress, other.tokens_spent) == (1.0, 30)


@pytest.mark.parametrize("bounds", [{}, {"minutes": 1.0, "tokens": 1}])
def test_a_budget_has_one_bound(bounds):
    with pytest.raises(ValueError, match="not both and not neither"):
        Budget(**bounds)
