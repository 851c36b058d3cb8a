"""A tiny model with random weights and a byte-level tokenizer: real code paths, no download, milliseconds per step."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from xmguard.contracts import Backend
from xmguard.plugins import load_plugins

if TYPE_CHECKING:
    from xmguard.testing.reference import ReferenceModel

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONFIG: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,  # on purpose not hidden_size / heads
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-5,
}
NO_SPECIAL_TOKENS = {"bos_token_id": None, "pad_token_id": None, "eos_token_id": None}


def make_tokenizer(*special: str, **named: str) -> Any:
    """A tokenizer of single bytes, with a chat template and control tokens of both kinds.

    Args:
        special: further control tokens.
        named: further ones that the tokenizer has attributes for, by the name of these.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, extra_special_tokens=named)
    further = ["<|im_start|>", *special, *named.values()]
    fast.add_special_tokens({"eos_token": "<|im_end|>", "additional_special_tokens": further})
    # A control token that is not marked special, as many chat models have: it must stay text all the same.
    fast.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    fast.chat_template = CHAT_TEMPLATE
    return fast


def tiny_config(family: str, **changes: Any) -> Any:
    """The configuration of a tiny `{family}ForCausalLM`."""
    import transformers

    config_class = getattr(transformers, f"{family}ForCausalLM").config_class
    return config_class(**(CONFIG | NO_SPECIAL_TOKENS | changes))


def make_model(folder: Path, *, family: str = "Llama", seed: int = 0, end_token: bool = False, **changes: Any) -> Path:
    """Save a tiny model whose attention is sharp enough for a bias of 2 nats to change what it says.

    Args:
        folder: where to save it.
        family: the architecture is `{family}ForCausalLM`.
        seed: of the weights.
        end_token: without it the model never ends by itself, so that a comparison always has its full length.
        changes: to the model's configuration.

    Returns:
        The folder.
    """
    import torch
    import transformers

    torch.manual_seed(seed)
    fast = make_tokenizer()
    config = tiny_config(family, vocab_size=len(fast), eos_token_id=fast.eos_token_id, **changes)
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    sharpen(model)
    if not end_token:
        model.lm_head.weight.data[fast.eos_token_id] = 0.0  # a logit of 0 is never the largest
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def sharpen(model: Any) -> None:
    """Give a model random weights under which a bias changes what it says.

    Default initialisation is so flat that no bias would change a token; the parity tests require the opposite.
    """
    import torch

    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            gain = 3.0 if "q_proj" in name or "k_proj" in name else 1.5
            torch.nn.init.normal_(parameter, std=gain / parameter.shape[1] ** 0.5)
        elif parameter.ndim == 3:  # experts; louder ones only amplify the rounding of what reaches them
            torch.nn.init.normal_(parameter, std=0.5 / parameter.shape[1] ** 0.5)
        elif name.endswith(("bias", "sinks")):
            torch.nn.init.normal_(parameter, std=0.5)
        elif "q_norm" in name or "k_norm" in name:  # they would undo the gain of the projections
            torch.nn.init.constant_(parameter, 2.5)


@cache
def tiny_model() -> tuple[Backend, ReferenceModel]:
    """A tiny Llama in the engine `transformers`, and the reference of the same weights; made once a process."""
    from xmguard.backends.transformers.loader import load
    from xmguard.testing.reference import ReferenceModel

    with TemporaryDirectory() as folder:  # both keep their weights in memory
        make_model(Path(folder))
        backend: Any = load(Path(folder), registry=load_plugins())
        return backend, ReferenceModel(Path(folder))
