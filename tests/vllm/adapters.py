"""Low-rank adapters of a tiny model, and what eager attention reads when they act on the readers' rows alone."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack

import torch
from safetensors.torch import save_file

from tests.integration.eager import Eager

RANK, ALPHA = 4, 12


class Lora:
    """A plain LoRA whose update is not zero, saved as PEFT saves it; with a classifier if it is a probe's."""

    def __init__(self, folder, model, modules, layers, classes=0, seed=7):
        generator = torch.Generator().manual_seed(seed)
        self.updates, weights = {}, {}
        for name, linear in model.named_modules():
            parts = name.split(".")
            if parts[-1] not in modules or int(parts[2]) >= layers:
                continue
            down = torch.randn(RANK, linear.in_features, generator=generator) / linear.in_features**0.5
            up = torch.randn(linear.out_features, RANK, generator=generator) * 0.15
            weights |= {
                f"base_model.model.{name}.lora_{side}.weight": each for side, each in zip("AB", (down, up), strict=True)
            }
            self.updates[name] = up @ down * (ALPHA / RANK)
        self.head = torch.randn(classes, model.config.hidden_size, generator=generator) * 0.15
        if classes:
            weights["base_model.model.score.weight"] = self.head
        self.layers = layers
        folder.mkdir()
        save_file(weights, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(
            json.dumps({"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": list(modules)})
        )
        self.folder = folder

    @property
    def asked(self):
        digest = hashlib.sha256((self.folder / "adapter_model.safetensors").read_bytes()).hexdigest()
        return {"folder": str(self.folder), "sha256": digest, "layers": self.layers}


class AdaptedEager(Eager):
    """Eager attention of a model whose rows from a position on are adapted."""

    def __init__(self, folder, lora):
        super().__init__(folder)
        self._lora = lora

    def run(self, ids, span_map, bias, prompt_tokens, measure=True):
        first = span_map.context_tokens

        def adding(update):
            def add(module, inputs, output):
                changed = output.clone()
                changed[:, first:] += inputs[0][:, first:] @ update.T
                return changed

            return add

        with ExitStack() as hooks:
            for name, update in self._lora.updates.items():
                module = self.model.get_submodule(name)
                hooks.callback(module.register_forward_hook(adding(update)).remove)
            return super().run(ids, span_map, bias, prompt_tokens, measure)

    def _contributions(self, layer, span_map):
        """Of readers, which write through the adapted projection."""
        projection = layer.self_attn.o_proj
        name = next(name for name, module in self.model.named_modules() if module is projection)
        update = self._lora.updates.get(name, torch.zeros(()))
        projection.weight.data += update
        try:
            return super()._contributions(layer, span_map)
        finally:
            projection.weight.data -= update

    @torch.no_grad()
    def probe(self, ids, span_map, bias):
        """Logits of the classifier after the last row."""
        states = []
        layer = self.model.model.layers[self._lora.layers - 1]
        with ExitStack() as hooks:
            hook = layer.register_forward_hook(lambda module, inputs, output: states.append(output))
            hooks.callback(hook.remove)
            self.run(ids, span_map, bias, len(ids), measure=False)
        state = states[0][0] if isinstance(states[0], tuple) else states[0]
        return (self.model.model.norm(state.view(-1, state.shape[-1])[-1]) @ self._lora.head.T).tolist()
