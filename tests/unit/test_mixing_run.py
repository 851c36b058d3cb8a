"""A run's folder is that of one recipe, data, base and shape of processes."""

import json
import shutil

import pytest

from xmguard.errors import InvalidRequest, XmguardError
from xmguard_research.mixing import command_train
from xmguard_research.mixing.folders import whole
from xmguard_research.mixing.run import Run, list_files

IDENTITY = {"recipe_sha256": "a", "data_sha256": "b", "base_sha256": "c", "instances_per_forward": "8"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("recipe_sha256", "another recipe"),
        ("data_sha256", "other data"),
        ("base_sha256", "another base"),
        ("instances_per_forward", "another number of processes"),
    ],
)
def test_a_run_of_anything_else_is_refused_unless_forced(tmp_path, name, said):
    run = Run(tmp_path)
    run.claim(IDENTITY, force=False)
    run.claim(IDENTITY, force=False)
    other = {**IDENTITY, name: "other"}
    with pytest.raises(InvalidRequest, match=f"holds a run of {said}.*--force"):
        run.claim(other, force=False)
    assert json.loads((tmp_path / "run.json").read_text()) == IDENTITY
    run.claim(other, force=True)
    assert json.loads((tmp_path / "run.json").read_text()) == other


def test_a_run_that_an_earlier_version_began_goes_on_and_a_finished_one_stays(tmp_path):
    run = Run(tmp_path)
    run.claim({"recipe_sha256": "a", "data_sha256": "b"}, force=False)
    run.claim(IDENTITY, force=False)
    run.model.mkdir()
    (run.model / "xmguard.json").write_text("{}")
    run.claim({**IDENTITY, "instances_per_forward": "16"}, force=False)
    with pytest.raises(InvalidRequest, match="another base"):
        run.claim({**IDENTITY, "base_sha256": "other"}, force=False)


def ended(run, step, **files):
    """A checkpoint that was written to its end."""
    folder = run.checkpoints / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for name, content in ({"optimizer.pt": "moments"} | files).items():
        (folder / name).write_text(content)
    list_files(folder)
    (folder / "trainer_state.json").write_text("{}")
    return folder


def test_a_checkpoint_that_was_copied_in_part_is_refused_and_stays(tmp_path):
    run = Run(tmp_path)
    ended(run, 2)
    newest = ended(run, 4)
    assert run.tidy() == []
    (newest / "optimizer.pt").write_text("mo")
    with pytest.raises(
        InvalidRequest, match=r"checkpoint-4 .*optimizer\.pt has 2 bytes of 7; copy it again, or remove"
    ):
        run.tidy()
    (newest / "optimizer.pt").unlink()
    with pytest.raises(InvalidRequest, match=r"optimizer\.pt is not there"):
        run.tidy()
    (newest / "files.json").unlink()
    with pytest.raises(InvalidRequest, match=r"files\.json, the list of its files, cannot be read"):
        run.tidy()
    assert run.newest == newest


def test_what_was_being_written_is_thrown_away_and_named(tmp_path):
    run = Run(tmp_path)
    ended(run, 2)
    (run.checkpoints / "checkpoint-4").mkdir()
    with whole(run.model) as work:
        left = work.parent
        shutil.copytree(left, tmp_path / "copy")
    shutil.rmtree(run.model)
    (tmp_path / "copy").rename(left)  # as a kill leaves it
    assert run.tidy() == ["checkpoint-4"]
    assert [folder.name for folder in run.checkpoints.iterdir()] == ["checkpoint-2"]
    assert [folder.name for folder in tmp_path.iterdir()] == ["checkpoints"]


def test_of_the_metrics_whole_lines_until_the_newest_checkpoint_stay(tmp_path):
    run = Run(tmp_path)
    ended(run, 2)
    kept = '{"step": 1}\n{"step": 2}\n'
    run.metrics.write_text(kept + '{"step": 3}\n\0\0\0\n{"ste')
    run.tidy()
    assert run.metrics.read_text() == kept


def test_a_run_file_that_cannot_be_read_is_said_and_replaced_by_force(tmp_path):
    run = Run(tmp_path)
    (tmp_path / "run.json").write_text('{"recipe_')
    with pytest.raises(
        InvalidRequest, match=r"holds a run whose run\.json cannot be read .*; choose another folder, or"
    ):
        run.claim(IDENTITY, force=False)
    run.claim(IDENTITY, force=True)
    assert json.loads((tmp_path / "run.json").read_text()) == IDENTITY


def test_what_force_cannot_remove_is_no_run_to_go_on_from(tmp_path, monkeypatch):
    run = Run(tmp_path)
    ended(run, 2)

    def refused(folder, ignore_errors=False):
        if not ignore_errors:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("shutil.rmtree", refused)
    with pytest.raises(
        XmguardError, match=r"cannot be written: Permission denied; .* Some of what it held may be gone"
    ):
        run.claim(IDENTITY, force=True)


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(XmguardError, match="run cannot be written: Not a directory; give another --out"),
        Run(tmp_path / "file" / "run").held(),
    ):
        pass


def test_who_stops_a_run_is_told_what_the_same_command_does(tmp_path):
    assert command_train._next(tmp_path, False).endswith("yet, so that the same command begins anew")
    ended(Run(tmp_path), 40)
    assert command_train._next(tmp_path, False) == f"the same command goes on from checkpoint-40 in {tmp_path}"
    assert "the same command, without --force, goes on from checkpoint-40" in command_train._next(tmp_path, True)
