"""A plugin as its user meets it: installed by pip, listed, allowed or not, and loud when it is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two plugins in it. Built from copies, so that no build files land in the source tree."""
    base = tmp_path_factory.mktemp("plugin")
    sources = [base / name for name in ("xmguard-later", "xmguard-image")]
    for source in sources:
        subprocess.run(["cp", "-r", str(ROOT / "plugins" / source.name), str(source)], check=True)
    target = ["--target", str(base / "site"), *map(str, sources)]
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", *target]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True)
    return base / "site"


def plugins(path: Path, allowed: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "XMGUARD_PLUGINS"}
    environment["PYTHONPATH"] = str(path)
    if allowed is not None:
        environment["XMGUARD_PLUGINS"] = allowed
    command = [sys.executable, "-m", "xmguard", "plugins", "--json"]
    return subprocess.run(command, env=environment, cwd=path, capture_output=True, text=True, check=False)


def listed(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return {plugin["name"]: plugin for plugin in json.loads(done.stdout)}


def test_an_installed_plugin_is_listed_with_version_and_what_it_provides(installed: Path):
    found = listed(plugins(installed))
    assert found["later"] == {"name": "later", "version": "0.1.0", "provides": ["policy:later"]}
    assert found["image"] == {"name": "image", "version": "0.1.0", "provides": ["modality:image"]}


def test_the_allow_list_hides_it(installed: Path):
    assert "later" not in listed(plugins(installed, allowed=""))
    assert "later" in listed(plugins(installed, allowed="later"))


def test_a_broken_plugin_stops_start_up_and_is_named(installed: Path, tmp_path: Path):
    metadata = tmp_path / "xmguard_broken-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: xmguard-broken\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text("[xmguard]\nbroken = xmguard_broken\n")
    (tmp_path / "xmguard_broken.py").write_text("raise OSError('its data file is gone')\n")
    done = plugins(tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "plugin 'broken' (xmguard_broken) does not load: OSError: its data file is gone" in done.stderr
    assert "broken" not in listed(plugins(tmp_path, allowed=""))
