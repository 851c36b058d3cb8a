"""The model, in LLaVA's shape: a vision tower, a projector, and a Llama that reads pictures as runs of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, ModelOutput
from transformers.modeling_utils import slice_logits_to_keep
from transformers.utils.generic import can_return_tuple

from xmguard_smolvlm_tiny.configuration import SmolVlmTinyConfig
from xmguard_smolvlm_tiny.efficientnet import EfficientNetLite, SameConv2d


@dataclass
class SmolVlmTinyModelOutput(BaseModelOutputWithPast):
    """Of the model without its head."""

    image_hidden_states: Tensor | None = None
    """[image, cell, hidden] as the language model read them; None when no picture was given."""


@dataclass
class SmolVlmTinyOutput(ModelOutput):
    """Of the model with its head."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    image_hidden_states: Tensor | None = None


class SmolVlmTinyProjector(nn.Module):
    """Features of cells to embeddings: each tap normalised by itself, then a transformer in which every cell sees all.

    Lettering runs over several cells, and how many of a thing there are is in no single one.
    """

    def __init__(self, config: SmolVlmTinyConfig) -> None:
        super().__init__()
        self.sizes = list(config.vision_config.tap_sizes)
        width, hidden = config.projector_width, config.text_config.hidden_size
        self.norms = nn.ModuleList(nn.LayerNorm(size) for size in self.sizes)
        self.inward = nn.Linear(sum(self.sizes), width)
        self.position = nn.Parameter(torch.zeros(config.image_seq_length, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, config.projector_heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(config.projector_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.outward = nn.Linear(width, hidden)

    def forward(self, features: Tensor) -> Tensor:
        """[image, cell, feature] to [image, cell, hidden]."""
        parts = torch.split(features, self.sizes, dim=-1)
        normed = torch.cat([norm(part) for norm, part in zip(self.norms, parts, strict=True)], dim=-1)
        read = self.inward(normed) + self.position
        for layer in self.layers:
            read = layer(read)
        embedded: Tensor = self.outward(self.norm(read))
        return embedded


class SmolVlmTinyPreTrainedModel(PreTrainedModel):
    """Initialisation and what the attention of the language model can be dispatched to."""

    config_class = SmolVlmTinyConfig
    base_model_prefix = "model"
    input_modalities = ("image", "text")
    _skip_keys_device_placement: ClassVar[list[str]] = ["past_key_values"]
    _supports_sdpa = True
    _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SmolVlmTinyProjector):
            init.normal_(module.position, std=0.02)
        elif isinstance(module, SameConv2d):
            # There are no batch norms that would undo the small default: features would vanish.
            init.kaiming_normal_(module.weight, nonlinearity="relu")


class SmolVlmTinyModel(SmolVlmTinyPreTrainedModel):
    """Everything but the head."""

    def __init__(self, config: SmolVlmTinyConfig) -> None:
        super().__init__(config)
        vision = config.vision_config
        self.vision_tower = EfficientNetLite(vision.stem_width, vision.stages, vision.taps)
        self.projector = SmolVlmTinyProjector(config)
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The language model's."""
        embeddings: nn.Module = self.language_model.get_input_embeddings()
        return embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Set the language model's."""
        self.language_model.set_input_embeddings(value)

    @can_return_tuple
    def get_image_features(self, pixel_values: Tensor, **kwargs: Any) -> BaseModelOutputWithPooling:
        """Pictures [image, 3, row, column] to the tower's features and, as `pooler_output`, embeddings per picture.

        `last_hidden_state` is [image, cell, feature]; `pooler_output` a tuple of [cell, hidden].
        """
        features = self.vision_tower(pixel_values.to(self.vision_tower.stem.weight.dtype))
        return BaseModelOutputWithPooling(last_hidden_state=features, pooler_output=tuple(self.projector(features)))

    def get_placeholder_mask(self, input_ids: Tensor, image_features: Tensor) -> Tensor:
        """Which tokens [batch, token] stand for cells of pictures.

        Raises:
            ValueError: there are more or fewer of them than `image_features` [cell, hidden] has, or a row has part of a
                picture.
        """
        mask: Tensor = input_ids == self.config.image_token_id
        rows = mask.sum(dim=-1).tolist()
        cells = self.config.image_seq_length
        if sum(rows) != len(image_features):
            raise ValueError(
                f"there are {sum(rows)} image tokens in the text and {len(image_features)} cells in the pictures; one "
                f"has {cells}"
            )
        if torn := [f"{number} of text {row}" for row, number in enumerate(rows) if number % cells]:
            raise ValueError(f"the image tokens ({', '.join(torn)}) are no whole pictures; one has {cells}")
        return mask

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> SmolVlmTinyModelOutput:
        """Read tokens, with pictures in place of their placeholders.

        Raises:
            ValueError: not exactly one of `input_ids` and `inputs_embeds`, pictures without `input_ids`, or pictures
                that do not fill their placeholders.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("exactly one of input_ids and inputs_embeds is needed")
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        image_features = None
        if pixel_values is not None:
            if input_ids is None:
                raise ValueError("pixel_values need input_ids, which say where the pictures go")
            image_features = torch.stack(self.get_image_features(pixel_values).pooler_output)
            cells = image_features.flatten(0, 1).to(inputs_embeds.device, inputs_embeds.dtype)
            mask = self.get_placeholder_mask(input_ids, cells)
            inputs_embeds = inputs_embeds.masked_scatter(mask.unsqueeze(-1), cells)
        read = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            **kwargs,
        )
        return SmolVlmTinyModelOutput(
            last_hidden_state=read.last_hidden_state,
            past_key_values=read.past_key_values,
            hidden_states=read.hidden_states,
            attentions=read.attentions,
            image_hidden_states=image_features,
        )


class SmolVlmTinyForConditionalGeneration(SmolVlmTinyPreTrainedModel, GenerationMixin):
    """The model with its head, which shares the embeddings' weights."""

    _tied_weights_keys: ClassVar[dict[str, str]] = {"lm_head.weight": "model.language_model.embed_tokens.weight"}

    def __init__(self, config: SmolVlmTinyConfig) -> None:
        super().__init__(config)
        self.model = SmolVlmTinyModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The language model's."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Set the language model's."""
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The head."""
        return self.lm_head

    def get_image_features(self, pixel_values: Tensor, **kwargs: Any) -> BaseModelOutputWithPooling:
        """As `SmolVlmTinyModel.get_image_features`."""
        return self.model.get_image_features(pixel_values, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> SmolVlmTinyOutput:
        """Logits [batch, token, vocabulary]: of the last `logits_to_keep` tokens, those it indexes, or all (0).

        [kept token, vocabulary] if it is a mask [batch, token].
        """
        read = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )
        logits = self.lm_head(slice_logits_to_keep(read.last_hidden_state, logits_to_keep))
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.text_config.vocab_size, **kwargs
            )
        return SmolVlmTinyOutput(
            loss=loss,
            logits=logits,
            past_key_values=read.past_key_values,
            hidden_states=read.hidden_states,
            attentions=read.attentions,
            image_hidden_states=read.image_hidden_states,
        )
