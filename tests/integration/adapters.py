"""LoRA adapters of tiny models, made and saved by PEFT, and what PEFT itself makes of them in float64."""

import hashlib
import json

import torch
from peft import LoraConfig, TaskType, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, DynamicCache

from tests.integration.eager import Eager
from xmguard.bias import REMOVE
from xmguard.calibration import ProbeSource

TASK = "\nSame? {question}"
LOWEST = torch.finfo(torch.float64).min


class Adapted:
    """An adapter whose update is not zero, saved to a folder; keeps PEFT's model."""

    def __init__(
        self, model_folder, folder, layers=2, *, strength=0.3, modules=("q_proj", "v_proj", "down_proj"), **lora
    ):
        torch.manual_seed(7)
        base = AutoModelForSequenceClassification.from_pretrained(
            model_folder, num_labels=3, num_hidden_layers=layers, attn_implementation="eager"
        )
        settings = {"r": 4, "lora_alpha": 12, "target_modules": list(modules)} | lora
        self.peft = get_peft_model(base, LoraConfig(task_type=TaskType.SEQ_CLS, **settings)).eval()
        for name, parameter in self.peft.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=strength) if strength else torch.nn.init.zeros_(parameter)
            elif "score" in name:
                torch.nn.init.normal_(parameter, std=0.3)
        self.folder, self.layers = folder, layers
        self.peft.save_pretrained(folder)

    @property
    def source(self):
        digest = hashlib.sha256((self.folder / "adapter_model.safetensors").read_bytes()).hexdigest()
        return ProbeSource(self.folder, digest, self.layers, TASK)

    def configure(self, **changes):
        """Change what its adapter_config.json says; None takes a key out."""
        path = self.folder / "adapter_config.json"
        config = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))

    @torch.no_grad()
    def reference(self, prompt, tail, bias, adapted=True):
        """Logits of the last tail row: context read by the untouched model, the tail by the adapted one, float64."""
        self.peft.double()
        inner = self.peft.base_model.model
        context, start = torch.tensor([prompt.context_ids]), len(prompt.context_ids)
        cache = DynamicCache()
        with self.peft.disable_adapter():
            inner.model(input_ids=context, past_key_values=cache, use_cache=True)
        mask = torch.zeros(len(tail), start + len(tail), dtype=torch.float64)
        mask[:, start:] = torch.full((len(tail), len(tail)), LOWEST, dtype=torch.float64).triu(1)
        for span in prompt.span_map:
            if bias.epsilon.get(span.span_id) == REMOVE:
                mask[:, span.start : span.stop] = LOWEST
        call = {
            "input_ids": torch.tensor([tail]),
            "attention_mask": self._for_layers(mask, start),
            "position_ids": torch.arange(start, start + len(tail))[None],
            "past_key_values": cache,
        }
        if adapted:
            hidden = inner.model(**call).last_hidden_state
        else:
            with self.peft.disable_adapter():
                hidden = inner.model(**call).last_hidden_state
        return inner.score(hidden[:, -1])[0]

    def _for_layers(self, mask, start):
        """A 4-D mask is used as it is, so a window has to be in it."""
        config = self.peft.config
        if "sliding_attention" not in (getattr(config, "layer_types", None) or []):
            return mask[None, None]
        rows, keys = torch.arange(start, mask.shape[1])[:, None], torch.arange(mask.shape[1])
        sliding = mask.masked_fill(keys <= rows - config.sliding_window, LOWEST)
        return {"full_attention": mask[None, None], "sliding_attention": sliding[None, None]}


EVERY_MODULE = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def save_adapter(model_folder, folder, *, strength=0.2, modules=EVERY_MODULE, **lora):
    """A LoRA of a whole language model as PEFT saves it, with an update that is not zero."""
    torch.manual_seed(8)
    base = AutoModelForCausalLM.from_pretrained(model_folder)
    settings = {"r": 4, "lora_alpha": 12, "target_modules": list(modules)} | lora
    peft = get_peft_model(base, LoraConfig(task_type=TaskType.CAUSAL_LM, **settings))
    for name, parameter in peft.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=strength) if strength else torch.nn.init.zeros_(parameter)
    peft.save_pretrained(folder)
    return folder


class AdaptedEager(Eager):
    """The reference where an adapter acts on the rows after the context and on no others.

    It holds the changed weights; every adapted layer runs the context's rows once more with its own.
    """

    def __init__(self, model_folder, adapter_folder, *, scaling=3.0, dtype=torch.float32):
        super().__init__(model_folder, dtype=dtype)
        saved = load_file(adapter_folder / "adapter_model.safetensors")
        self.own, self.context_tokens = {}, 0
        for key in (key for key in saved if "lora_A" in key):
            module = self.model.get_submodule(key.removeprefix("base_model.model.").removesuffix(".lora_A.weight"))
            self.own[module] = module.weight.detach().clone()
            module.weight.data += scaling * saved[key.replace("lora_A", "lora_B")].to(dtype) @ saved[key].to(dtype)
            module.register_forward_hook(self.untouched_context)

    def untouched_context(self, module, inputs, output):
        context = slice(self.context_tokens)
        output[:, context] = torch.nn.functional.linear(inputs[0][:, context], self.own[module], module.bias)
        return output

    def run(self, ids, span_map, *args, **kwargs):
        self.context_tokens = span_map.context_tokens
        return super().run(ids, span_map, *args, **kwargs)


def write_card(folder, base, base_sha256, acts_on, **changes):
    """The card of an adapter's folder, as training writes it."""
    digest = hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()
    card = {"name": "trained", "base_model": str(base), "base_sha256": base_sha256, "license": "Apache-2.0"}
    card |= {"adapter": {"acts_on": acts_on, "sha256": digest}} | changes
    (folder / "xmguard.json").write_text(json.dumps(card))
    return folder
