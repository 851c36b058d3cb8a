"""A folder is replaced whole or not at all, whenever whoever replaces it is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from xmguard_research.mixing.folders import whole


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("after", [1, 2])
def test_what_was_there_stays_where_a_replacement_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: type[BaseException], after: int
):
    """Before the new folder is put there, or right after the old one was moved away."""
    out = tmp_path / "data"
    out.mkdir()
    (out / "old").write_text("", encoding="utf-8")
    renamed = []
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        renamed.append(target)
        if len(renamed) == after:
            if after == 1:
                rename(self, target)
            raise stopped
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(stopped), whole(out) as work:
        (work / "new").write_text("", encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["data"]
    assert [file.name for file in out.iterdir()] == ["old"]
    with whole(out) as work:
        (work / "new").write_text("", encoding="utf-8")
    assert [file.name for file in out.iterdir()] == ["new"]
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(tmp_path: Path):
    (tmp_path / "disk" / "data").mkdir(parents=True)
    out = tmp_path / "data"
    out.symlink_to(tmp_path / "disk" / "data")
    with whole(out) as work:
        (work / "new").write_text("", encoding="utf-8")
    assert out.is_symlink()
    assert [file.name for file in (tmp_path / "disk" / "data").iterdir()] == ["new"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data", "disk"]
