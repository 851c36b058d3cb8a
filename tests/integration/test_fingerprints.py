"""A model and a plugin are taken only as they were when their hash was written down."""

import shutil
from importlib.metadata import EntryPoint

import pytest

from tests.unit.command_line import one_error_line, xmguard
from xmguard.errors import InvalidRequest, ModelRefused, PluginError
from xmguard.loading import load_guard
from xmguard.models.resolve import resolve
from xmguard.plugins import ALLOW_LIST, load_plugins, plugin_hash


@pytest.fixture
def copy(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "model")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_model_with_another_file_is_refused_before_it_is_loaded(copy, registry, monkeypatch, name):
    sha256 = resolve(str(copy), registry).fingerprint
    assert xmguard("models", "hash", str(copy)).stdout.strip() == sha256
    with (copy / name).open("ab") as file:
        file.write(b"\n")
    monkeypatch.setattr("xmguard.loading._loader", lambda provider: pytest.fail("the engine was asked"))
    with pytest.raises(ModelRefused, match=f"and {sha256} is asked for"):
        load_guard(str(copy), sha256=sha256, registry=registry)


def test_a_model_with_that_hash_is_taken(copy, registry):
    sha256 = resolve(str(copy), registry).fingerprint
    guard = load_guard(str(copy), sha256=f"sha256:{sha256.upper()}", registry=registry)
    assert guard.describe().model == "model"
    with pytest.raises(InvalidRequest, match="is no SHA-256"):
        load_guard(str(copy), sha256="1234", registry=registry)
    with pytest.raises(InvalidRequest, match="cannot be hashed"):
        load_guard("any", engine="openai", sha256=sha256, registry=registry)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A plugin that is installed, and leaves a trace when it is imported."""
    package = tmp_path / "xmguard_traced"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from pathlib import Path\nfrom xmguard.hookspecs import hookimpl\n"
        "Path(__file__).with_name('trace.txt').parent.parent.joinpath('trace').touch()\n"
        "@hookimpl\ndef xmguard_detect_language(text):\n    return None\n"
    )
    info = tmp_path / "xmguard_traced-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: xmguard-traced\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[xmguard]\ntraced = xmguard_traced\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


def test_a_plugin_that_was_changed_is_refused_before_it_is_imported(plugin, monkeypatch):
    own = plugin_hash(EntryPoint("traced", "xmguard_traced", "xmguard"))
    assert f"traced@sha256:{own}" in xmguard("plugins", "--hashes").stdout.splitlines()
    (plugin / "more.py").write_text("x = 1\n")
    monkeypatch.setenv(ALLOW_LIST, f"traced@sha256:{own}")
    with pytest.raises(PluginError, match=f"asks for {own}"):
        load_plugins()
    assert not (plugin.parent / "trace").exists()
    (plugin / "more.py").unlink()
    assert "traced" in {found.name for found in load_plugins().plugins}
    assert (plugin.parent / "trace").exists()


def test_a_hash_that_is_none_stops_start_up(plugin, monkeypatch):
    monkeypatch.setenv(ALLOW_LIST, "traced@sha256:abc")
    assert "is no SHA-256" in one_error_line(xmguard("plugins"))
