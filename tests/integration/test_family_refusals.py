"""What stops exact steering is found from a configuration alone, every reason at once and none too many."""

import json
import time

import pytest
import transformers

from xmguard.backends.transformers.families import PICTURES, PROVEN, examine, refusals
from xmguard.testing.tiny import make_tokenizer, tiny_config

TINY = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 4,
    "vocab_size": 300,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
LATENT = {"num_key_value_heads": 4, "q_lora_rank": 32, "kv_lora_rank": 16, "qk_nope_head_dim": 16}
LATENT |= {"qk_rope_head_dim": 8, "v_head_dim": 16}
EXPERTS = {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "moe_intermediate_size": 32}
FUSED = {"n_layer": 2, "n_head": 4, "vocab_size": 300, "bos_token_id": None, "eos_token_id": None}
VISION = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
VISION |= {"image_size": 28, "patch_size": 14}
DEAF = "does not declare that its attention can be replaced"

# Architecture, its configuration, and the reasons that its modules give, in order.
ODD = {
    "latent attention": (
        "DeepseekV3ForCausalLM",
        TINY | LATENT | EXPERTS,
        ["layers 0-3: multi-head latent attention, with keys and values compressed into one vector (keys of width 24"],
    ),
    "latent attention of MiniCPM": ("MiniCPM3ForCausalLM", TINY | LATENT, ["layers 0-3: multi-head latent attention"]),
    "state space": (
        "MambaForCausalLM",
        {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 300},
        [DEAF, "layers 0-1 mix tokens through a recurrent state (MambaMixer)"],
    ),
    "state space and attention in turn": (
        "JambaForCausalLM",
        TINY | {"attn_layer_period": 4, "attn_layer_offset": 2, "num_experts": 2},
        [DEAF, "layers 0-1, 3 mix tokens through a recurrent state (JambaMambaMixer)"],
    ),
    "state space beside attention": (
        "FalconH1ForCausalLM",
        TINY | {"mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16},
        [DEAF, "layers 0-3 mix tokens through a recurrent state (FalconH1Mixer)"],
    ),
    "RWKV": (
        "RwkvForCausalLM",
        {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 300},
        [DEAF, "layers 0-1 mix tokens through a recurrent state (RwkvBlock)"],
    ),
    "linear attention": (
        "Qwen3NextForCausalLM",
        TINY | {"num_experts": 4, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32},
        [
            DEAF,
            "layers 0-2 mix tokens through a recurrent state (Qwen3NextGatedDeltaNet)",
            "layer 3: what attention reads is changed (a gate in q_proj) before the output projection",
        ],
    ),
    "lightning attention": (
        "MiniMaxForCausalLM",
        TINY | {"num_local_experts": 2},
        ["layers 1, 3 mix tokens through a recurrent state (MiniMaxDecoderLayer)"],
    ),
    "ALiBi": (
        "BloomForCausalLM",
        FUSED | {"hidden_size": 64},
        [
            DEAF,
            "layers 0-1 (BloomBlock): no attention that goes through transformers' attention interface",
            "ALiBi",
            "layers 0-1 (BloomBlock): no output projection o_proj",
        ],
    ),
    "ALiBi of MPT": (
        "MptForCausalLM",
        {"n_layers": 2, "n_heads": 4, "d_model": 64, "vocab_size": 300},
        [DEAF, "layers 0-1 (MptBlock): no attention", "ALiBi", "layers 0-1 (MptBlock): no output projection o_proj"],
    ),
    "Falcon with rotary positions": (
        "FalconForCausalLM",
        TINY | {"alibi": False},
        [
            DEAF,
            "layers 0-3 (FalconDecoderLayer): no attention",
            "layers 0-3 (FalconDecoderLayer): no output projection",
        ],
    ),
    "Falcon with ALiBi": (
        "FalconForCausalLM",
        TINY | {"alibi": True},
        [DEAF, "(FalconDecoderLayer): no attention", "ALiBi", "(FalconDecoderLayer): no output projection"],
    ),
    "encoder-decoder": (
        "T5ForConditionalGeneration",
        {"d_model": 32, "d_kv": 8, "d_ff": 32, "num_heads": 4, "num_layers": 2, "vocab_size": 300},
        [
            "it is an encoder-decoder",
            "layers 0-1 hold more than one attention (layer.0.SelfAttention, layer.1.EncDecAttention)",
            DEAF,
            "learned relative bias",
            "layers 0-1 (T5Attention): no output projection o_proj",
        ],
    ),
    "chunked attention": (
        "Llama4ForCausalLM",
        TINY | {"num_local_experts": 2, "attention_chunk_size": 64, "intermediate_size_mlp": 64, "head_dim": 16},
        ["layers 0-2: chunked attention, a position reads only its own chunk of 64 tokens"],
    ),
    "fused projections": (
        "GPT2LMHeadModel",
        FUSED | {"n_embd": 32},
        ["layers 0-1 (GPT2Attention): no output projection o_proj of weight [d_model, heads * head_dim]"],
    ),
    "pictures before an unproven language model": (
        "LlavaForConditionalGeneration",
        {
            "text_config": TINY | {"model_type": "arcee"},
            "vision_config": VISION | {"model_type": "clip_vision_model"},
        },
        ["its language model is of type arcee, which is not proven"],
    ),
    "a prompt that is read both ways": (
        "PaliGemmaForConditionalGeneration",
        {
            "text_config": TINY | {"model_type": "gemma"},
            "vision_config": VISION | {"model_type": "siglip_vision_model"},
        },
        ["layers 0-3: the attention is bidirectional, not causal"],
    ),
    "pictures that are read both ways under a soft cap": (
        "Gemma3ForConditionalGeneration",
        {
            "text_config": TINY | {"head_dim": 16, "attn_logit_softcapping": 8.0},
            "vision_config": VISION | {"model_type": "siglip_vision_model"},
        },
        ["its pictures are read both ways under a soft cap"],
    ),
    "pictures in several layers": (
        "Qwen3VLForConditionalGeneration",
        {
            "text_config": TINY | {"model_type": "qwen3_vl_text"},
            "vision_config": {"depth": 2, "hidden_size": 32, "num_heads": 2, "deepstack_visual_indexes": [0]},
        },
        ["features of its pictures enter several layers (deepstack), not only the first"],
    ),
    "sound": (
        "Qwen2AudioForConditionalGeneration",
        {"text_config": TINY | {"model_type": "qwen2"}, "audio_config": {"d_model": 40, "encoder_layers": 1}},
        ["it reads more than text and pictures: also through audio_config", DEAF],
    ),
    "no head": ("LlamaModel", TINY, ["LlamaModel generates no text"]),
    "bidirectional": (
        "Gemma3ForCausalLM",
        TINY | {"head_dim": 16, "use_bidirectional_attention": True},
        ["layers 0-3: the attention is bidirectional, not causal"],
    ),
    "keys of earlier layers": (
        "Gemma3nForCausalLM",
        TINY
        | {"head_dim": 16, "num_kv_shared_layers": 2, "vocab_size_per_layer_input": 300}
        | {"layer_types": ["sliding_attention", "full_attention"] * 2, "intermediate_size": [96] * 4}
        | {"activation_sparsity_pattern": None},
        ["its last 2 layers share the keys and values of earlier ones"],
    ),
    "keys that are chosen": (
        "DeepseekV32ForCausalLM",
        TINY | LATENT | EXPERTS | {"index_topk": 16, "index_n_heads": 2, "index_head_dim": 16},
        ["multi-head latent attention", "layers 0-3: sparse attention (indexed_attention)"],
    ),
    "a gate after the attention": (
        "AfmoeForCausalLM",
        TINY | {"head_dim": 16, "num_experts": 4, "moe_intermediate_size": 32, "num_dense_layers": 1},
        ["layers 0-3: what attention reads is changed (gate_proj) before the output projection"],
    ),
    "heads of two widths": (
        "Gemma4ForCausalLM",
        TINY
        | {"head_dim": 16, "global_head_dim": 32, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0}
        | {"layer_types": ["sliding_attention", "full_attention"] * 2},
        ["its layers have different heads: 4 of width 16 and 4 of width 32", "(per_layer_config: head_dim)"],
    ),
    "values narrower than keys": (
        "MiMoV2FlashForCausalLM",
        TINY | EXPERTS | {"head_dim": 32, "v_head_dim": 16},
        ["its values are not as wide as its keys"],
    ),
    "a window of one layer's own": (
        "MistralForCausalLM",
        TINY | {"sliding_window": 64, "per_layer_config": {1: {"sliding_window": 32}}},
        ["single layers have settings of their own (per_layer_config: sliding_window)"],
    ),
}


def save(folder, architecture, settings):
    """What save_pretrained leaves of a model, without its weights: they are never looked at."""
    config = getattr(transformers, architecture).config_class(**settings)
    config.architectures = [architecture]
    config.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"no weights at all")
    return folder


def edit(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def of_the_modules(reasons):
    return [reason for reason in reasons if not reason.startswith("architecture ")]


@pytest.mark.parametrize("name", ODD)
def test_an_odd_architecture_is_refused_for_what_it_is(tmp_path, name):
    architecture, settings, expected = ODD[name]
    reasons = refusals(save(tmp_path, architecture, settings))
    assert reasons[0].startswith(f"architecture {architecture} of model") == (architecture not in PROVEN | PICTURES)
    found = of_the_modules(reasons)
    assert len(found) == len(expected), found
    for reason, said in zip(found, expected, strict=True):
        assert said in reason


def test_nothing_but_the_missing_proof_is_said_where_no_probe_objects(tmp_path):
    (reason,) = refusals(save(tmp_path, "ArceeForCausalLM", TINY))
    assert "is not proven to be steered exactly: no probe objects to it, but no test has shown it either" in reason
    assert "LlamaForCausalLM" in reason


def test_a_proven_architecture_passes_and_its_weights_are_not_read(tmp_path):
    config = tiny_config("Gemma2", vocab_size=300, sliding_window=64)
    found = examine(save(tmp_path, "Gemma2ForCausalLM", config.to_dict()))
    assert found.reasons == ()
    said = {particular.name: particular.detail for particular in found.particulars}
    assert said["sliding window"].startswith("of 64 tokens in layers 0, 2:")
    assert said["soft cap"].startswith("logits stay within 50")
    assert said["post-attention norm"] == "contributions are norms before the post-attention norm"


@pytest.mark.parametrize("family", ["Gemma3", "Olmo2"])
def test_a_norm_after_the_attention_is_told(tmp_path, family):
    found = examine(save(tmp_path, f"{family}ForCausalLM", tiny_config(family, vocab_size=300).to_dict()))
    assert "contributions are norms before the post-attention norm" in [part.detail for part in found.particulars]


def test_all_reasons_are_given_at_once(tmp_path):
    architecture, settings, expected = ODD["latent attention"]
    save(tmp_path, architecture, settings)
    edit(tmp_path, quantization_config={"quant_method": "fp8"}, auto_map={"AutoConfig": "configuration_deepseek.Own"})
    (tmp_path / "configuration_deepseek.py").write_text("raise SystemExit('own code was run')")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    said = [*expected, "its weights are quantised", "its own code (auto_map)", "configuration_deepseek.py"]
    found = of_the_modules(refusals(tmp_path))
    assert len(found) == 5
    for reason, expectation in zip(found, [*said, "pytorch_model.bin"], strict=True):
        assert expectation in reason


def test_a_quantised_llama_is_refused_for_that_alone(tmp_path):
    edit(save(tmp_path, "LlamaForCausalLM", TINY), quantization_config={"quant_method": "awq", "bits": 4})
    (reason,) = refusals(tmp_path)
    assert "its weights are quantised" in reason


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "chatglm"}, "knows no model type chatglm"),
        ({"model_type": ["llama"]}, "knows no model type ['llama']"),
        ({"architectures": ["pipeline"]}, "knows no model class pipeline"),
        ({"architectures": None}, "knows no model class (none named)"),
        ({"architectures": ["MistralForCausalLM"]}, "does not build MistralForCausalLM from a configuration of"),
        ({"hidden_size": "wide"}, "cannot build it from its config.json"),
        ({"num_attention_heads": 0}, "cannot build it from its config.json"),
        ({"per_layer_config": {"1": {"num_attention_heads": 2}}}, "cannot build it from its config.json"),
    ],
)
def test_a_configuration_that_fits_no_model_is_a_reason_and_no_crash(tmp_path, change, said):
    edit(save(tmp_path, "LlamaForCausalLM", TINY), **change)
    assert any(said in reason for reason in refusals(tmp_path))


def test_an_empty_folder_has_reasons_too(tmp_path):
    assert refusals(tmp_path) == [
        "it holds no config.json",
        "it holds no *.safetensors weights",
        "it holds no tokenizer.json",
    ]


def test_a_large_model_is_examined_in_less_than_two_seconds(tmp_path):
    save(tmp_path, "DeepseekV3ForCausalLM", {})  # as published: 671 billion parameters
    before = time.process_time()
    examine(tmp_path)
    assert time.process_time() - before < 2
