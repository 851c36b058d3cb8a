"""A tiny Llama with random weights and a byte-level tokenizer: real code paths, no download, milliseconds per step."""

import os
from pathlib import Path

import pytest
import torch

# Plugins that happen to be installed here stay out, in the processes that tests start too.
os.environ["XMGUARD_PLUGINS"] = ""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONFIG = {
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


def tokenizer():
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=inner)
    fast.add_special_tokens({"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]})
    # A control token that is not marked special, as many chat models have: it must stay text all the same.
    fast.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    fast.chat_template = CHAT_TEMPLATE
    return fast


def tiny_config(family: str, **changes):
    import transformers

    config_class = getattr(transformers, f"{family}ForCausalLM").config_class
    return config_class(**(CONFIG | NO_SPECIAL_TOKENS | changes))


def make_model(folder: Path, *, family: str = "Llama", seed: int = 0, end_token: bool = False, **changes) -> Path:
    """Save a tiny model whose attention is sharp enough for a bias of 2 nats to change what it says.

    Without `end_token` the model never ends by itself, so that a comparison always has its full length.
    """
    import transformers

    torch.manual_seed(seed)
    fast = tokenizer()
    config = tiny_config(family, vocab_size=len(fast), eos_token_id=fast.eos_token_id, **changes)
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    # Default initialisation is so flat that no bias would change a token; see the test that requires the opposite.
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
    if not end_token:
        model.lm_head.weight.data[fast.eos_token_id] = 0.0  # a logit of 0 is never the largest
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def registry():
    from xmguard.plugins import load_plugins

    return load_plugins()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_backend(tiny_folder, registry):
    from xmguard.backends.transformers.loader import load

    return load(tiny_folder, registry=registry)


@pytest.fixture(scope="session")
def smollm2_folder(registry):
    """The embedded model; `make setup` pulls it."""
    path = registry.models.items["smollm2"].path()
    if path is None:
        pytest.skip("smollm2 is not pulled: run `make setup`")
    return path
