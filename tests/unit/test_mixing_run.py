"""A run's folder is that of one recipe, data, base and shape of processes."""

import json

import pytest

from xmguard.errors import InvalidRequest
from xmguard_research.mixing.run import Run

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
