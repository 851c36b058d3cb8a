"""A training that is stopped, resumed, started over or refused, and what it writes down."""

import json
import shutil
import threading
from dataclasses import replace
from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.integration.tiny_training import SIDE, drawn, make_base, make_parts, narrow
from xmguard.errors import SetupIncomplete, XmguardError
from xmguard_research.tiny_vlm import checkpoints, training
from xmguard_research.tiny_vlm.budget import Budget
from xmguard_research.tiny_vlm.checkpoints import LOG, MACHINES, SPENT, TRAINED
from xmguard_research.tiny_vlm.features import Gallery, keep_features
from xmguard_research.tiny_vlm.figures import draw_log
from xmguard_research.tiny_vlm.grounding import Grounder, labelled
from xmguard_research.tiny_vlm.learner import Learner
from xmguard_research.tiny_vlm.packing import collate
from xmguard_research.tiny_vlm.prompts import Prompter
from xmguard_research.tiny_vlm.recipe import RECIPE, Recipe, Stage, as_json, keep_recipe, read_recipe
from xmguard_research.tiny_vlm.training import evaluating, one_device, train_stage

# Two of PEFT and transformers that concern what we do not use: an old name, and pinned memory without a GPU.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*pin_memory:UserWarning"),
]

GROUNDING = Stage("grounding", share=0.1, projector_rate=1e-3, adapter_rate=0.0, batch=2)
ADAPTER = Stage("adapter", share=0.9, projector_rate=1e-2, adapter_rate=1e-2, batch=2)
SETTINGS = Recipe(rank=4, alpha=8, minutes=None, tokens=5400, cells_for_a_token=1, stages=(GROUNDING, ADAPTER))


@pytest.fixture(scope="module", autouse=True)
def _narrow():
    with pytest.MonkeyPatch.context() as patch:
        narrow(patch)
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def processor(base):
    return make_parts(base)[1]


@pytest.fixture(scope="module")
def gallery(base, processor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    keep_features(drawn(5), 5, folder, make_parts(base)[0].model.vision_tower, processor)
    return Gallery(folder, 5)


@pytest.fixture(scope="module", params=["grounding", "adapter"])
def learn(request, base, gallery, processor, registry):
    """Trains the stage, always from the same start, into a folder; returns what it has learned."""
    prompter = Prompter(processor, registry)
    values = sorted({word for one in gallery.seen for mark in one.marks for word in mark.words})

    def train(out, stop=None, recipe=SETTINGS, **options):
        model = make_parts(base)[0]
        if request.param == "grounding":
            stage, tokens = GROUNDING, lambda mark: [values.index(mark.words[0])]
            rows = [labelled(one.marks, index, SIDE, tokens, 0.3) for index, one in enumerate(gallery.seen)]
            learner = Grounder(model.model.projector, model.get_input_embeddings().weight.detach(), rows, recipe)
            pack = partial(learner.collate, features=gallery.features)
        else:
            stage = ADAPTER
            rows = [prompter.conversation([None], one.asked[:1], index) for index, one in enumerate(gallery.seen)]
            learner = Learner(model, recipe)
            pack = partial(collate, features=gallery.features, image_token=processor.image_token_id)
        read = count(1)

        def stopping(batch):
            if next(read) == stop:
                raise KeyboardInterrupt
            return pack(batch)

        train_stage(learner, rows, stopping, stage, recipe, out, log_every=1, **{"tell": pytest.fail, **options})
        return learner.trained()

    train.stage = request.param
    return train


@pytest.fixture(scope="module")
def unbroken(learn, tmp_path_factory):
    """What a run that nothing stops has learned, and its folder."""
    out = tmp_path_factory.mktemp("unbroken")
    return learn(out), out


@pytest.fixture
def every_second_step(monkeypatch):
    """The clock goes on by a second whenever the loop reads it, which it does once a step and once a save."""
    seconds = count()
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    return {"save_minutes": 1.5 / 60}


def log(out):
    rows = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    return [(row["step"], row["loss"], row["tokens"]) for row in rows if "loss" in row]


def test_a_stopped_run_gives_what_an_unbroken_one_gives(learn, unbroken, every_second_step, tmp_path):
    learned, folder = unbroken
    steps = len(log(folder))
    assert steps > 12  # of three an epoch
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "stopped", stop=11, **every_second_step)
    saved = checkpoints.newest(tmp_path / "stopped", learn.stage).steps
    logged = [step for step, *_ in log(tmp_path / "stopped")]
    assert (saved, logged[-1]) == (8, 9)  # in the third epoch, and more was done after it was saved
    torch.manual_seed(99)  # of another process
    resumed = learn(tmp_path / "stopped", validate=lambda: {"all": 0.5}, **every_second_step)
    assert all(torch.equal(value, resumed[name]) for name, value in learned.items())
    assert log(tmp_path / "stopped") == log(folder)
    draw_log(tmp_path / "stopped" / LOG, tmp_path / "log.png")
    newest = checkpoints.newest(tmp_path / "stopped", learn.stage)
    assert newest.passes == pytest.approx(steps / 3)
    (machine,) = json.loads((newest.folder / MACHINES).read_text())
    assert machine["torch"] == torch.__version__


def test_checkpoints_that_were_being_written_are_deleted_with_a_word(learn, unbroken, every_second_step, tmp_path):
    learned, folder = unbroken
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path, stop=9, **every_second_step)
    stage = tmp_path / learn.stage
    whole = checkpoints.newest(tmp_path, learn.stage)
    for name, state in (("checkpoint-998", None), ("checkpoint-999", '{"global_step": 9')):
        shutil.copytree(whole.folder, stage / name)
        (stage / name / "trainer_state.json").unlink()
        if state is not None:
            (stage / name / "trainer_state.json").write_text(state)
    with (tmp_path / LOG).open("a") as stream:
        stream.write('{"stage": "ada')
    assert checkpoints.newest(tmp_path, learn.stage) == whole
    told = []
    resumed = learn(tmp_path, tell=told.append, **every_second_step)
    assert all(torch.equal(value, resumed[name]) for name, value in learned.items())
    assert [line.split(" ", 1)[1] for line in told] == ["was being written when the run was stopped: deleted"] * 2
    assert not (stage / "checkpoint-999").exists()
    assert log(tmp_path) == log(folder)


def test_starting_over_leaves_nothing_of_before(tmp_path):
    for place in ("adapter/checkpoint-17", "grounding/checkpoint-3", "train"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / LOG).write_text("{}\n")
    checkpoints.start_over(tmp_path, ["grounding", "adapter"])
    assert [one.name for one in tmp_path.iterdir()] == ["train"]
    checkpoints.start_over(tmp_path, ["grounding", "adapter"])


def test_a_stage_of_another_bound_is_not_gone_on_with(tmp_path):
    folder = tmp_path / "adapter" / "checkpoint-3"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text('{"global_step": 3, "epoch": 0.5}')
    Budget(minutes=2.0).save(folder / SPENT)
    train = partial(train_stage, None, [], None, ADAPTER, SETTINGS, tmp_path)
    with pytest.raises(SetupIncomplete, match=r"budget.json is of 2.0 minutes, not of 5400 tokens"):
        train()
    (folder / SPENT).write_text('{"seconds_spent": 1.0, "tokens_spent": 3, "tokens": null}')
    with pytest.raises(SetupIncomplete, match="does not say minutes: an older version wrote it"):
        train()


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_is_more_than_nothing_and_ends(bound):
    with pytest.raises(ValueError, match=f"a budget of {bound} minutes is none"):
        Budget(minutes=bound)


def test_several_gpus_are_refused_saying_how_to_show_one(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SetupIncomplete, match="one GPU and sees 2; set CUDA_VISIBLE_DEVICES=0"):
        one_device()
    with pytest.raises(SetupIncomplete, match="one GPU"):
        train_stage(None, [], None, ADAPTER, SETTINGS, tmp_path)


def test_what_fails_leaves_neither_a_bar_nor_a_learner_that_does_not_learn(learn, tmp_path):
    def failing():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        learn(tmp_path, validate=failing, save_minutes=0.0)
    for bar in [one for one in threading.enumerate() if type(one).__module__.startswith("rich")]:
        bar.join(timeout=5)
        assert not bar.is_alive()
    module = torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match="no"), evaluating(module):
        failing()
    assert module.training
    with evaluating(module):
        assert not module.training


def test_a_recipe_says_how_long_each_stage_lasts():
    stages = (replace(GROUNDING, share=0.3), replace(ADAPTER, share=0.7))
    timed = replace(Recipe(), stages=stages)
    assert [timed.budget(stage).minutes for stage in stages] == [23.4, 54.6]
    counted = replace(timed, minutes=None, tokens=700)
    assert [counted.budget(stage).tokens for stage in stages] == [12 * 300, 700]
    with pytest.raises(ValueError, match="not both and not neither"):
        replace(timed, tokens=700)


def test_a_recipe_is_read_as_it_was_written_and_nothing_is_filled_in(tmp_path):
    keep_recipe(tmp_path, SETTINGS)
    keep_recipe(tmp_path, SETTINGS)
    assert read_recipe(tmp_path) == SETTINGS
    with pytest.raises(SetupIncomplete, match="was made with another tokens, validated; name another folder"):
        keep_recipe(tmp_path, replace(SETTINGS, tokens=5, validated=5))
    rows = as_json(SETTINGS)
    older = {name: value for name, value in rows.items() if name not in ("clip", "minutes")} | {"gone": 1}
    (tmp_path / RECIPE).write_text(json.dumps(older))
    with pytest.raises(SetupIncomplete, match="another minutes, clip, gone; name"):
        keep_recipe(tmp_path, SETTINGS)
    with pytest.raises(SetupIncomplete, match="it lacks clip, minutes, and has gone that this version does not know"):
        read_recipe(tmp_path)
    (tmp_path / RECIPE).write_text("{")
    with pytest.raises(SetupIncomplete, match=r"recipe.json is not JSON \(.*\); name another folder"):
        read_recipe(tmp_path)
    with pytest.raises(SetupIncomplete, match=r"recipe.json is missing; train first"):
        read_recipe(tmp_path / "nothing")


def test_kept_pictures_are_all_there_or_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr("xmguard_research.tiny_vlm.features.SHARD", 2)
    for index, length in enumerate((2, 1)):
        save_file({"features": torch.zeros(length, 4, 3)}, tmp_path / f"{index:05d}.safetensors")
        row = {"id": "p", "kind": "price", "asked": [], "sentences": [], "marks": []}
        (tmp_path / f"{index:05d}.jsonl").write_text((json.dumps(row) + "\n") * length)
    assert len(Gallery(tmp_path, 3)) == 3
    for wanted, said in ((2, "00001.safetensors should not be there"), (5, "00002.safetensors should be there")):
        with pytest.raises(XmguardError, match=f"damaged: {said}; delete that folder"):
            Gallery(tmp_path, wanted)
    with pytest.raises(XmguardError, match=r"00001.safetensors holds 1 of 2 pictures, described 1"):
        Gallery(tmp_path, 4)


def test_what_a_checkpoint_holds_is_named_as_it_travels(learn, unbroken):
    learned, folder = unbroken
    kept = load_file(checkpoints.newest(folder, learn.stage).folder / TRAINED)
    assert {name: value.shape for name, value in kept.items()} == {name: value.shape for name, value in learned.items()}
    parts = {name.split(".", 1)[0] for name in kept}
    assert parts == {"projector", "grounder" if learn.stage == "grounding" else "language_model"}


def test_every_token_of_a_batch_reads_something(gallery, processor, registry):
    prompter = Prompter(processor, registry)
    rows = [prompter.conversation([None], one.asked, index) for index, one in enumerate(gallery.seen)]
    batch = collate(rows, gallery.features, processor.image_token_id)
    assert batch["ids"].shape[1] > min(row.tokens for row in rows)
    assert batch["allowed"].any(dim=-1).all()
