"""Several processes make the model that one makes, and a sharded model has the whole one's gradients."""

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.integration.mixing_runs import make_data, make_recipe
from xmguard.testing.tiny import make_model
from xmguard_research.mixing.training import run_training

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def metrics(run):
    """Losses in their order, by name."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [(name, line[name]) for line in lines for name in ("loss", "validation_loss") if name in line]


def test_two_processes_train_what_one_does_and_read_shards_as_the_whole(tmp_path):
    base = make_model(tmp_path / "base")
    recipe = make_recipe(base)
    make_data(tmp_path / "data", recipe, count=5)  # the last step has one for the first process alone
    settings = files("xmguard_research.mixing") / "fsdp.yaml"
    script = Path(__file__).with_name("mixing_distributed.py")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(settings)]
    done = subprocess.run(
        [*launch, "--num_processes", "2", "--main_process_port", "0", str(script), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]

    # Two processes with two instances each are one with four, to the order of the instances.
    run_training(make_recipe(base, instances_per_forward=4), tmp_path / "data", tmp_path / "one")
    ours, wanted = (load_file(tmp_path / run / "model" / "adapter_model.safetensors") for run in ("out", "one"))
    for name, tensor in wanted.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-2, atol=1e-3)
    losses, of_one = (metrics(tmp_path / run) for run in ("out", "one"))
    assert [name for name, _ in losses] == ["loss", "loss", "validation_loss"]
    assert [loss for _, loss in losses] == pytest.approx([loss for _, loss in of_one], rel=1e-3)

    said = json.loads((tmp_path / "sharded.json").read_text(encoding="utf-8"))
    assert said["processes"] == 2
    assert said["losses"][0] == pytest.approx(said["losses"][1], rel=1e-5)
    assert said["gradients"] < 1e-3
