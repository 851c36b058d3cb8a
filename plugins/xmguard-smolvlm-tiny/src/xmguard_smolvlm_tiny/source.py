"""Where `smolvlm-tiny` comes from: SmolLM2 of the cache, and what travels in this distribution.

Nothing is fetched but SmolLM2, where it is not there yet. Knows nothing of how the model is loaded or asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from xmguard.errors import ModelRefused, SetupIncomplete
from xmguard.models.cache import install, models_folder, silent
from xmguard.models.smollm2 import SmolLM2
from xmguard.parts import IMAGE, TEXT
from xmguard.profile import CARD
from xmguard_smolvlm_tiny import travelling
from xmguard_smolvlm_tiny.travelling import Manifest

_MODULES = ("filelock", "PIL", "safetensors", "tokenizers", "torch", "transformers")


class SmolVlmTiny:
    """A small English vision-language model of ours: EfficientNet-lite0, a projector, SmolLM2-135M with an adapter."""

    name = "smolvlm-tiny"
    summary = "EfficientNet-lite0 and SmolLM2-135M, trained on generated scenes (English)"
    license = "Apache-2.0"
    requires = "xmguard[hf]"
    modalities: tuple[str, ...] = (TEXT, IMAGE)
    profile: Path | None = None

    def __init__(self, weights: Path = travelling.FOLDER) -> None:
        """`weights` is the folder of the travelling tensors and their manifest."""
        self._weights = weights

    def path(self) -> Path | None:
        """Folder of the assembled model, or None while it has not been pulled.

        Raises:
            PluginError: the manifest of the weights cannot be read.
        """
        manifest = travelling.read_manifest(self._weights)
        if manifest is None:
            return None
        folder = _folder(manifest)
        return folder if folder.is_dir() else None

    def pull(self, progress: Callable[[str], None] = silent) -> Path:
        """Put it together in the cache; returns the folder. Does nothing when it is there already.

        Raises:
            SetupIncomplete: the distribution holds no weights, or a package is missing.
            PluginError: the manifest of the weights cannot be read.
            ModelRefused: the weights are not what their manifest says, or were made for another SmolLM2.
            XmguardError: SmolLM2 cannot be pulled, or the cache cannot be written.
        """
        manifest = travelling.read_manifest(self._weights)
        if manifest is None:
            raise SetupIncomplete(
                f"there are no weights in this distribution of xmguard-smolvlm-tiny; make them: {travelling.TRAIN}"
            )
        if present := self.path():
            return present
        if missing := [module for module in _MODULES if find_spec(module) is None]:
            raise SetupIncomplete(
                f'pulling {self.name} needs {", ".join(missing)}, not installed here; run: pip install "xmguard[hf]"'
            )
        progress("checking the SHA-256 of the weights")
        tensors = travelling.checked_tensors(manifest, self._weights)
        base = SmolLM2().pull(progress)
        if base.name != manifest.base:
            raise ModelRefused(
                self.name, [f"its weights adapt {manifest.base}, and this xmguard's SmolLM2 is {base.name}"]
            )
        return install(
            self.name,
            _folder(manifest),
            lambda work: self._make(work / "model", base, tensors, manifest, progress),
            space="600 MB",
            progress=progress,
        )

    def _make(
        self, folder: Path, base: Path, tensors: Path, manifest: Manifest, progress: Callable[[str], None]
    ) -> Path:
        from xmguard_smolvlm_tiny.assembly import assemble

        progress("merging the adapter into SmolLM2 (once; a few seconds)")
        folder.mkdir()
        assemble(base, tensors, vision=manifest.vision, lora_scale=manifest.lora_scale, folder=folder)
        card = {
            "name": self.name,
            "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
            "license": self.license,
            "weights_sha256": manifest.sha256,
            "training": manifest.training,
        }
        (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        return folder


def _folder(manifest: Manifest) -> Path:
    """Named by what goes into it, so that an old result is never used."""
    return models_folder() / f"smolvlm-tiny-{manifest.sha256[:12]}-on-{manifest.base}"
