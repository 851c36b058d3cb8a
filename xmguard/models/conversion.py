"""Turns a GGUF file into a folder of safetensors that `from_pretrained` loads without the `gguf` package.

Runs as its own process (`python -m xmguard.models.conversion GGUF FOLDER`): reading GGUF switches on progress bars and
takes memory that a caller should get back. Knows neither where the file came from nor where the result goes.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def convert(gguf: Path, folder: Path) -> None:
    """Write model, tokenizer and generation settings into `folder`.

    Weights are stored in float32: a 4-bit block holds scale * q + minimum with float16 factors, and neither float16
    nor bfloat16 has the digits for that sum. Safetensors are mapped into memory, so the size costs no start-up time.
    """
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = loaded.config
    # What was read from GGUF still calls itself quantized and then refuses to be saved; its weights no longer are.
    del config.quantization_config
    model = LlamaForCausalLM(config)
    model.load_state_dict(loaded.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # GGUF only names the pre-tokenizer ("smollm"), and the reader falls back to plain byte level. The published
    # tokenizer also isolates digits, which decides how blanks and line breaks before a number are cut.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.model_max_length = config.max_position_embeddings
    if not tokenizer.chat_template:
        raise ValueError(f"{gguf.name} carries no chat template, so nothing can be asked in its format")
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]),
        pad_token_id=config.pad_token_id,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)  # weights are written 0600; a cache filled by one user is read by others


def main() -> None:
    """Convert one file named on the command line."""
    parser = argparse.ArgumentParser(description="Convert a GGUF file into a folder of safetensors.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    convert(arguments.gguf, arguments.folder)


if __name__ == "__main__":
    main()
