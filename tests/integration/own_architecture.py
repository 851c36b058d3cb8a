"""An architecture as a plugin brings it: a convolutional tower and a projector before a Llama, 49 tokens a picture."""

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    AutoProcessor,
    CLIPImageProcessorPil,
    GenerationMixin,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling, CausalLMOutputWithPast

from xmguard.hookspecs import hookimpl
from xmguard.providers import ArchitectureProvider
from xmguard.testing.tiny import CONFIG, NO_SPECIAL_TOKENS, make_tokenizer, sharpen

MODEL_TYPE = "sights"
SIDE = 7


class SightsConfig(PreTrainedConfig):
    model_type = MODEL_TYPE
    sub_configs = {"text_config": AutoConfig}

    def __init__(self, text_config=None, image_token_id=0, **kwargs):
        if isinstance(text_config, dict):
            text_config = LlamaConfig(**text_config)
        self.text_config = text_config or LlamaConfig()
        self.image_token_id = image_token_id
        super().__init__(**kwargs)


class SightsForConditionalGeneration(PreTrainedModel, GenerationMixin):
    config_class = SightsConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config):
        super().__init__(config)
        width = config.text_config.hidden_size
        self.language_model = AutoModel.from_config(config.text_config)
        self.tower = nn.Conv2d(3, 16, kernel_size=8, stride=8)
        self.projector = nn.Linear(16, width)
        self.lm_head = nn.Linear(width, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self):
        return self.language_model.embed_tokens

    def get_output_embeddings(self):
        return self.lm_head

    def get_image_features(self, pixel_values, return_dict=True):
        seen = self.tower(pixel_values).flatten(2).transpose(1, 2)
        return BaseModelOutputWithPooling(last_hidden_state=seen, pooler_output=self.projector(seen.tanh()))

    def forward(self, input_ids=None, inputs_embeds=None, pixel_values=None, logits_to_keep=0, **kwargs):
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        if pixel_values is not None:
            features = self.get_image_features(pixel_values).pooler_output
            inputs_embeds = inputs_embeds.masked_scatter((input_ids == self.config.image_token_id)[..., None], features)
        output = self.language_model(inputs_embeds=inputs_embeds, **kwargs)
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(output.last_hidden_state[:, keep])
        return CausalLMOutputWithPast(logits=logits, past_key_values=output.past_key_values)


class SightsProcessor(ProcessorMixin):
    def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **kwargs):
        self.image_token = "<picture>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        super().__init__(image_processor, tokenizer, chat_template=chat_template)

    def replace_image_token(self, image_inputs, image_idx, **kwargs):
        return self.image_token * SIDE**2


def register():
    AutoConfig.register(MODEL_TYPE, SightsConfig)
    AutoModelForImageTextToText.register(SightsConfig, SightsForConditionalGeneration)
    AutoProcessor.register(SightsConfig, SightsProcessor)


class Plugin:
    """Brings the architecture."""

    def __init__(self, target=f"{__name__}:register"):
        self.target = target

    @hookimpl
    def xmguard_architectures(self):
        return [ArchitectureProvider(MODEL_TYPE, self.target, "a tower of one convolution before a Llama")]


def make_sights(folder, **changes):
    """Save a tiny model of it."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer("<picture>")
    text = LlamaConfig(**(CONFIG | NO_SPECIAL_TOKENS | {"vocab_size": len(tokenizer)} | changes))
    placeholder = tokenizer.convert_tokens_to_ids("<picture>")
    config = SightsConfig(text, placeholder, eos_token_id=tokenizer.eos_token_id, tie_word_embeddings=False)
    model = SightsForConditionalGeneration(config)
    sharpen(model)
    model.lm_head.weight.data[list(tokenizer.added_tokens_decoder)] = 0.0
    model.save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    SightsProcessor(images, tokenizer).save_pretrained(folder)
    return folder
