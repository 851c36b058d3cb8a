"""What is written and said of a training, step by step, and what ends it."""

import json
import math
from types import SimpleNamespace

import pytest

from xmguard_research.mixing.watching import Amount, TrainingStopped, Watch

STATE = SimpleNamespace(global_step=1, max_steps=2, is_world_process_zero=True)
STEP = {"loss": 2.0, "learning_rate": 0.1}


def watch(file, said):
    return Watch(file, [Amount(10, 100), Amount(20, 200)], lambda *told: said.append(told))


def test_a_step_is_a_line_and_is_said_with_how_far_it_is(tmp_path):
    file, said = tmp_path / "metrics.jsonl", []
    watched = watch(file, said)
    watched.on_train_begin(None, SimpleNamespace(global_step=0), None)
    watched.on_log(None, STATE, None, STEP | {"grad_norm": 1.0})
    line = json.loads(file.read_text())
    assert (line["step"], line["loss"], line["trained_tokens"], line["read_tokens"]) == (1, 2.0, 10, 100)
    ((words, *counted),) = said
    assert counted == [1, 2]
    assert words.startswith("loss 2.000, ")
    assert words.endswith(" left")


def test_seconds_go_on_from_what_was_written_before(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1, "seconds": 100.0}\n')
    watched = watch(file, [])
    watched.on_train_begin(None, STATE, None)
    watched.on_log(None, SimpleNamespace(global_step=2, max_steps=2, is_world_process_zero=True), None, STEP)
    assert 100.0 <= json.loads(file.read_text().splitlines()[-1])["seconds"] == pytest.approx(watched.seconds, abs=60)


@pytest.mark.parametrize(
    ("name", "words"), [("loss", "the loss"), ("eval_loss", "the validation loss"), ("grad_norm", "its gradient")]
)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_ends_the_training_and_is_not_written(tmp_path, name, words, value):
    file, said = tmp_path / "metrics.jsonl", []
    with pytest.raises(TrainingStopped, match=rf"^{words} is {value} at step 1; .*train\.learning_rate"):
        watch(file, said).on_log(None, STATE, None, STEP | {name: value})
    assert not said
    assert not file.exists()


def test_processes_but_the_first_write_and_say_nothing(tmp_path):
    file, said = tmp_path / "metrics.jsonl", []
    other = SimpleNamespace(global_step=1, max_steps=2, is_world_process_zero=False)
    watch(file, said).on_log(None, other, None, STEP)
    assert not said
    assert not file.exists()
