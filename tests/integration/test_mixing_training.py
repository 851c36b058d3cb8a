"""Runs of a tiny model: what they leave, that they go on where they were stopped, and how they stop."""

import json
import resource
import shutil
from argparse import Namespace
from hashlib import sha256

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from trl import SFTConfig

from tests.integration.mixing_runs import SIX_STEPS, conversation, make_data, make_recipe
from xmguard.errors import InvalidRequest, ModelRefused, XmguardError
from xmguard.plugins import load_plugins
from xmguard.testing.tiny import make_model
from xmguard_research.mixing import checkpoint, command_train, training
from xmguard_research.mixing.bases import Base, find_base
from xmguard_research.mixing.digest import sha256 as file_sha256
from xmguard_research.mixing.exporting import export
from xmguard_research.mixing.modelling import load_model
from xmguard_research.mixing.readers import load_reader
from xmguard_research.mixing.run import Run
from xmguard_research.mixing.throughput import KINDS, measure, table
from xmguard_research.mixing.trainer import MixingTrainer
from xmguard_research.mixing.training import run_training
from xmguard_research.mixing.watching import TrainingStopped

# Of PEFT, about an old name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    """A whole run: recipe, data and folder."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = make_recipe(base)
    data = make_data(folder / "data", recipe)
    run_training(recipe, data, folder / "run")
    return recipe, data, Run(folder / "run")


def card(run):
    return json.loads((run.model / "xmguard.json").read_text(encoding="utf-8"))


def metrics(run):
    return [json.loads(line) for line in run.metrics.read_text(encoding="utf-8").splitlines()]


def weights(run):
    return (run.model / "adapter_model.safetensors").read_bytes()


def test_a_run_leaves_an_adapter_its_card_metrics_and_curves(base, trained):
    recipe, _, run = trained
    said = card(run)
    assert said["name"] == "tried"
    assert said["license"] == "MIT"
    assert said["base_sha256"] == file_sha256(base / "model.safetensors")
    assert said["adapter"] == {"acts_on": "all", "sha256": sha256(weights(run)).hexdigest()}
    assert said["training"]["recipe_sha256"] == recipe.digest
    whose = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    assert whose["base_sha256"] == said["base_sha256"]
    assert whose["instances_per_forward"] == "2"
    assert said["training"]["steps"] == 6
    assert said["training"]["trained_tokens"] == sum(
        len(conversation(index)["messages"][1]["content"][0]["text"]) + 1 for index in range(SIX_STEPS)
    )
    assert {tensor.dtype for tensor in load_file(run.model / "adapter_model.safetensors").values()} == {torch.float16}
    settings = json.loads((run.model / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] is None
    assert settings["target_modules"] == sorted(recipe.train.modules)

    lines = metrics(run)
    losses = [line["loss"] for line in lines if "loss" in line]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 7))
    assert losses[-1] < 0.8 * losses[0]
    assert [line["step"] for line in lines if "validation_loss" in line] == [2, 4, 6]
    assert lines[-1]["trained_tokens"] == said["training"]["trained_tokens"]
    assert lines[-1]["read_tokens"] == said["training"]["read_tokens"]
    assert (run.path / "curves.svg").stat().st_size > 1000
    assert (run.path / "curves.png").stat().st_size > 1000


@pytest.mark.parametrize("training", ['{"style": "noto"}', '"by hand"', "null"])
def test_a_base_whose_card_tells_of_another_kind_of_training_has_no_parent_recipe(tmp_path, training):
    (tmp_path / "xmguard.json").write_text(f'{{"training": {training}}}', encoding="utf-8")
    said = checkpoint.card(make_recipe(tmp_path), Base("other", tmp_path), {}, {"steps": 1})
    assert said["training"]["parents"] == []


def test_a_stopped_run_goes_on_and_ends_with_the_same_weights(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "emulation", lambda option: "nothing of bfloat16 matters to a run in fp32")
    recipe, data, whole = trained
    run = Run(tmp_path / "run")

    def stop(line, step, steps):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, data, run.path, show=stop)
    assert run.newest.name == "checkpoint-4"
    assert not run.model.exists()
    (run.checkpoints / "checkpoint-5").mkdir()  # as it is left where a machine loses power
    said = []
    run_training(recipe, data, run.path, tell=said.append)
    assert said[0].endswith("going on from checkpoint-4")
    assert "checkpoint-5, which was being written when the run was stopped, is gone" in said[0]
    assert weights(run) == weights(whole)
    assert [line["step"] for line in metrics(run) if "loss" in line] == list(range(1, 7))
    written = run.metrics.read_bytes()
    shutil.rmtree(run.checkpoints)  # a run that is done needs none
    run_training(recipe, data, run.path, tell=said.append)
    assert "is there already" in said[-1]
    assert run.metrics.read_bytes() == written


def test_a_checkpoint_without_its_optimizer_is_not_gone_on_from(trained, tmp_path):
    recipe, data, whole = trained
    run = Run(tmp_path / "run")
    shutil.copytree(whole.path, run.path, ignore=shutil.ignore_patterns("model", "optimizer.pt"))
    with pytest.raises(InvalidRequest, match=r"checkpoint-6 .*optimizer\.pt is not there; copy it again, or remove it"):
        run_training(recipe, data, run.path)
    assert not run.model.exists()
    shutil.rmtree(run.newest)
    shutil.copy(whole.checkpoints / "checkpoint-4" / "optimizer.pt", run.newest)
    run_training(recipe, data, run.path)
    assert weights(run) == weights(whole)


def test_who_stops_the_command_is_told_how_it_goes_on(trained, tmp_path, monkeypatch, capsys):
    def stopped(*ignored, **ignored_too):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "run_training", stopped)
    monkeypatch.setattr(command_train, "hush", lambda: None)
    with pytest.raises(KeyboardInterrupt):
        command_train.train(trained[2].path, tiny=True, force=True)
    assert "stopped; the same command, without --force, goes on from checkpoint-6 in " in capsys.readouterr().err


def test_another_recipes_run_is_replaced_only_by_force(base, trained, tmp_path):
    _, data, whole = trained
    other = make_recipe(base, seed=1)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_bytes((whole.path / "run.json").read_bytes())
    (folder / "model").mkdir()
    with pytest.raises(InvalidRequest, match=r"run of another recipe; .* --force"):
        run_training(other, data, folder)
    assert (folder / "model").is_dir()
    run_training(other, data, folder, force=True)
    assert card(Run(folder))["training"]["recipe_sha256"] == other.digest
    assert weights(Run(folder)) != weights(whole)


def test_a_mistake_in_a_recipe_neither_takes_a_folder_nor_costs_the_run_in_it(base, trained, tmp_path):
    _, data, whole = trained
    wrong = make_recipe(base, modules=["q_proj", "v_prooj"])
    said = r"train\.modules: names v_prooj, and no linear layer of .* is called so; give some of .*, v_proj$"
    with pytest.raises(
        InvalidRequest, match=r"names lm_head, and no linear layer .*; give some of down_proj, gate_proj, k"
    ):
        load_model(Base("tiny", base), make_recipe(base, modules=["lm_head"]).train)
    with pytest.raises(InvalidRequest, match=said):
        run_training(wrong, data, tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()
    shutil.copytree(whole.path, tmp_path / "old")
    with pytest.raises(InvalidRequest, match=said):
        run_training(wrong, data, tmp_path / "old", force=True)
    assert weights(Run(tmp_path / "old")) == weights(whole)
    assert metrics(Run(tmp_path / "old")) == metrics(whole)


def test_a_folder_that_is_trained_in_is_left_alone(trained, tmp_path):
    with Run(tmp_path).held(), pytest.raises(InvalidRequest, match="is trained in by another process"):
        run_training(*trained[:2], tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [".lock"]


def test_a_process_that_sees_several_gpus_is_refused_before_anything_is_made(base, tmp_path, monkeypatch):
    monkeypatch.setattr(SFTConfig, "n_gpu", 2)
    with pytest.raises(InvalidRequest, match=r"CUDA_VISIBLE_DEVICES: shows 2 GPUs .* accelerate launch"):
        run_training(make_recipe(base), None, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_its_last_checkpoint(base, tmp_path):
    recipe = make_recipe(
        base, learning_rate=1e30, warmup=0.5, save_steps=1
    )  # the first step of a warm-up moves nothing
    run = Run(tmp_path / "run")
    with pytest.raises(
        TrainingStopped, match=r"the validation loss is (nan|inf) at step 2; .* lower train.learning_rate"
    ):
        run_training(recipe, make_data(tmp_path / "data", recipe), run.path)
    assert run.newest.name == "checkpoint-1"
    assert not run.model.exists()


def test_a_checkpoint_that_cannot_be_written_stops_the_run_and_leaves_none_of_it(trained, tmp_path):
    recipe, data, _ = trained
    run = Run(tmp_path / "run")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(line, step, steps):
        if step == 3:  # no file may grow beyond this from now on, which the system reports as it does a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))

    try:
        with pytest.raises(TrainingStopped, match=r"checkpoint .*checkpoint-4 cannot be written: .*the same command"):
            run_training(recipe, data, run.path, show=limit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [folder.name for folder in run.checkpoints.iterdir()] == ["checkpoint-2"]
    assert run.newest.name == "checkpoint-2"


def test_a_run_whose_end_could_not_be_written_ends_when_it_is_started_again(trained, tmp_path, monkeypatch):
    recipe, data, whole = trained
    run = Run(tmp_path / "run")
    shutil.copytree(whole.path, run.path, ignore=shutil.ignore_patterns("model", "curves*"))

    def full(*ignored):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(training.curves, "draw", full)
        with pytest.raises(TrainingStopped, match=r"run cannot be written: the disk is full; free some space"):
            run_training(recipe, data, run.path)
    assert not run.finished
    run_training(recipe, data, run.path)
    assert weights(run) == weights(whole)
    assert metrics(run) == metrics(whole)
    assert {file.name for file in run.path.glob("curves*")} == {"curves.svg", "curves.png"}


def test_what_cannot_be_written_and_what_cannot_be_read_are_told_apart(trained, tmp_path):
    recipe, data, _ = trained
    run = Run(tmp_path / "run")

    def blocked(line, step, steps):
        run.metrics.unlink()
        run.metrics.mkdir()

    with pytest.raises(TrainingStopped, match=r"metrics\.jsonl cannot be written: .*Is a directory.*the same command"):
        run_training(recipe, data, run.path, show=blocked)

    def unread(line, step, steps):
        (tmp_path / "gone").read_bytes()

    with pytest.raises(TrainingStopped, match=r"gone cannot be read: .*No such file.*the same command"):
        run_training(recipe, data, tmp_path / "other", show=unread)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_a_memory_that_is_not_enough_is_told_with_what_to_change(trained, tmp_path, monkeypatch, error):
    recipe, data, _ = trained

    def train(*ignored, **ignored_too):
        raise error

    monkeypatch.setattr(MixingTrainer, "train", train)
    said = r"not enough for 2 instances of up to \d+ tokens at once .*; give a smaller train\.instances_per_forward"
    with pytest.raises(TrainingStopped, match=said):
        run_training(recipe, data, tmp_path)


@pytest.mark.parametrize(("method", "value"), [("lora", 1e6), ("lora", float("nan")), ("full", float("inf"))])
def test_weights_that_are_no_numbers_are_not_written(base, tmp_path, method, value):
    """1e6 is none in half precision, in which an adapter is kept."""
    recipe = make_recipe(base, method=method)
    model = load_model(Base("tiny", base), recipe.train)
    weight = next(weight for weight in model.parameters() if weight.requires_grad)
    weight.data[0, 0] = value
    said = {"adapter": {"acts_on": "all"}} if method == "lora" else {}
    with pytest.raises(ModelRefused, match=r"1 of its weights hold what is no finite number, such as .*learning_rate"):
        checkpoint.write(model, load_reader(Base("tiny", base), load_plugins()), tmp_path / "model", said)
    assert not list(tmp_path.iterdir())


def test_an_adapter_of_the_answer_takes_one_question_and_is_not_merged(base, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "emulation", lambda option: f"bfloat16 is slow, take {option}")
    said = []
    recipe = make_recipe(base, acts_on="answer", precision="bf16")
    with pytest.raises(InvalidRequest, match="instance i0 holds 2 replies"):
        run_training(recipe, make_data(tmp_path / "turns", recipe, turns=2), tmp_path / "never")
    run = Run(tmp_path / "run")
    run_training(recipe, make_data(tmp_path / "data", recipe), run.path, tell=said.append)
    assert said[0].startswith("bfloat16 is slow, take train.precision: fp32")
    losses = [line["loss"] for line in metrics(run) if "loss" in line]
    assert losses[-1] < 0.9 * losses[0]
    assert card(run)["adapter"]["acts_on"] == "answer"
    with pytest.raises(ModelRefused, match="acts on the answer alone"):
        export(run.model, tmp_path / "out")


def test_contexts_are_not_read_apart_where_a_window_would_hide_some_of_them(tmp_path):
    base = make_model(tmp_path / "base" / "tiny", family="Mistral", sliding_window=24)
    recipe = make_recipe(base, acts_on="answer")
    with pytest.raises(
        InvalidRequest, match=r"train\.acts_on: .* window of 24 tokens, .*; give acts_on: all, or shorter"
    ):
        run_training(recipe, make_data(tmp_path / "data", recipe, count=2), tmp_path / "run")


def test_training_goes_on_from_a_checkpoint_folder_of_the_same_shape(trained, tmp_path):
    recipe, _, first = trained
    following = make_recipe(first.model, learning_rate=1e-3)
    run = Run(tmp_path / "run")
    run_training(following, make_data(tmp_path / "data", following, count=4), run.path)
    whose = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    assert whose["adapter_sha256"] == sha256(weights(first)).hexdigest()
    assert card(run)["training"]["parents"] == [recipe.digest]
    assert card(run)["base_model"] == card(first)["base_model"]
    assert metrics(run)[0]["loss"] < metrics(first)[0]["loss"]
    wider = make_recipe(first.model, rank=8)
    with pytest.raises(InvalidRequest, match=r"train.rank: is 8, and the adapter .* has 4"):
        load_model(Base("tiny", recipe.folder / "tiny", first.model), wider.train)
    with pytest.raises(InvalidRequest, match=r"train.dropout: is 0.5, and the adapter .* has 0.0"):
        load_model(Base("tiny", recipe.folder / "tiny", first.model), make_recipe(first.model, dropout=0.5).train)


def test_a_checkpoint_folder_is_trained_on_and_exported_only_if_it_is_whole(trained, tmp_path):
    registry = load_plugins()
    folder = tmp_path / "model"
    shutil.copytree(trained[2].model, folder)
    said = card(trained[2])
    (folder / "xmguard.json").write_text(json.dumps(said | {"base_sha256": "ab" * 32}))
    with pytest.raises(ModelRefused, match="was made for other weights than"):
        find_base(str(folder), registry)
    shutil.copy(trained[2].model / "xmguard.json", folder)
    content = weights(trained[2])
    (folder / "adapter_model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(
        ModelRefused, match=r"its adapter has weights that hash to .*; get its folder again, as a whole"
    ):
        export(folder, tmp_path / "merged")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelRefused, match=r"its adapter cannot be read: .*; get its folder again, as a whole"):
        find_base(str(folder), registry)
    (folder / "xmguard.json").write_text('{"name"')
    with pytest.raises(ModelRefused, match=r"its xmguard\.json, which names the base model, cannot be read"):
        find_base(str(folder), registry)


def test_the_base_of_a_checkpoint_folder_may_lie_beside_it(base, trained, tmp_path):
    shutil.copytree(trained[2].model, tmp_path / "model")
    shutil.copytree(base, tmp_path / "base")
    (tmp_path / "model" / "xmguard.json").write_text(json.dumps(card(trained[2]) | {"base_model": "../base"}))
    assert find_base(str(tmp_path / "model"), load_plugins()).path == tmp_path / "base"


def test_an_exported_checkpoint_is_a_plain_model_with_the_same_logits(base, trained, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(trained[2].model, run.model)
    measured = card(run) | {"measured": {"dtype": "float32"}, "benchmarks": [{"what": "detection", "value": 1.0}]}
    (run.model / "xmguard.json").write_text(json.dumps(measured), encoding="utf-8")
    export(run.model, tmp_path / "merged")
    ids = torch.arange(40).reshape(2, 20)
    from peft import PeftModel

    plain = AutoModelForCausalLM.from_pretrained(base)
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), run.model)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    with torch.no_grad():
        wanted, found, without = (model(input_ids=ids).logits for model in (adapted, merged, plain))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert (without - wanted).abs().max() > 0.1
    said = json.loads((tmp_path / "merged" / "xmguard.json").read_text(encoding="utf-8"))
    assert "adapter" not in said
    assert "measured" not in said
    assert said["benchmarks"] == []
    with pytest.raises(InvalidRequest, match="holds something already"):
        export(run.model, tmp_path / "merged")
    export(run.model, tmp_path / "half", dtype="bfloat16")
    assert {tensor.dtype for tensor in load_file(tmp_path / "half" / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "half" / "xmguard.json").read_text(encoding="utf-8"))["dtype"] == "bfloat16"


def test_what_cannot_be_exported_is_refused_and_nothing_is_written(base, trained, tmp_path):
    with pytest.raises(InvalidRequest, match="--dtype: is 'int8'; one of float32, bfloat16"):
        export(trained[2].model, tmp_path / "out", dtype="int8")
    with pytest.raises(ModelRefused, match="holds no card of a training; give the folder `model` of a run"):
        export(base, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_export_that_fills_the_disk_is_said_and_leaves_nothing(trained, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        with pytest.raises(XmguardError, match=r"merged cannot be written: .*\. Nothing was changed"):
            export(trained[2].model, tmp_path / "merged")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_all_weights_can_be_trained(base, tmp_path):
    recipe = make_recipe(base, method="full", learning_rate=1e-3)
    run = Run(tmp_path / "run")
    run_training(recipe, make_data(tmp_path / "data", recipe, count=8), run.path)
    assert "adapter" not in card(run)
    found = AutoModelForCausalLM.from_pretrained(run.model)
    before = AutoModelForCausalLM.from_pretrained(base)
    assert not torch.equal(found.lm_head.weight, before.lm_head.weight)


def test_data_of_another_recipe_and_broken_lines_are_named(trained, tmp_path):
    recipe, _, _ = trained
    data = make_data(tmp_path / "data", make_recipe(recipe.folder / "other"))
    with pytest.raises(InvalidRequest, match="built of another base or `data`"):
        run_training(recipe, data, tmp_path / "run")
    data = make_data(tmp_path / "broken", recipe, count=2)
    with (data / "instances.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"id": "i2", ')
    with pytest.raises(InvalidRequest, match=r"instances.jsonl:3: is not JSON"):
        run_training(recipe, data, tmp_path / "run")


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_the_speed_of_every_kind_of_step_can_be_measured(base, precision):
    settings = {"batch": 2, "tokens": 64, "trained": 8, "steps": 1, "precision": precision}
    given = Namespace(model=str(base), threads=torch.get_num_threads(), **settings)
    found = {kind: measure(kind, given) for kind in KINDS}
    assert all(one["read_per_second"] == pytest.approx(8 * one["trained_per_second"]) for one in found.values())
    assert all(one["peak_gigabytes"] > 0 for one in found.values())
    assert len(table(found).splitlines()) == 1 + len(KINDS)
