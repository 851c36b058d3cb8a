"""Pictures for tests: a modality that yields them from raw pixels, prompts with them, and the reference of these.

The reference is the stock model with its own processor over all pictures at once, its own masks and its own positions;
only the bias is added to its mask.
"""

import inspect

import torch
from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForImageTextToText
from transformers.masking_utils import eager_mask

from tests.integration.eager import LOWEST, Eager, first_row, recording_eager
from xmguard.backends.processors import load_processor
from xmguard.context import Context, ContextSpan
from xmguard.hookspecs import hookimpl
from xmguard.parts import ImagePart
from xmguard.plugins import load_plugins
from xmguard.span import Media, Span

KIND = "image/x-sketch"
OF_TOKENS = ("input_ids", "attention_mask")


class Sketches:
    """Turns media of the form width, height, pixels into a picture."""

    name = "sketch"
    media_types = (KIND,)

    def parts(self, span):
        width, height, *rgb = span.span.media.data
        return [ImagePart(width, height, bytes(rgb))]


class SketchPlugin:
    @hookimpl
    def xmguard_modalities(self):
        return [Sketches()]


def registry_with_sketches(**extra):
    return load_plugins(extra={"sketches": SketchPlugin(), **extra})


def sketch(seed, width=24, height=20):
    """A picture of coloured noise; another seed is another picture."""
    generator = torch.Generator().manual_seed(seed)
    rgb = torch.randint(256, (3 * width * height,), generator=generator, dtype=torch.uint8)
    return Media(KIND, bytes([width, height, *rgb.tolist()]))


def context(*contents, question="What does the sign say?"):
    """Spans a, b, ... of texts and pictures."""
    spans = []
    for name, content in zip("abcdef", contents, strict=False):
        if isinstance(content, str):
            spans.append(ContextSpan(Span(name, content), "text", "en"))
        else:
            spans.append(ContextSpan(Span(name, media=content), "sketch", "und"))
    return Context(tuple(spans), question)


def images_of(context):
    """What the stock processor takes, in order."""
    from PIL import Image

    parts = [Sketches().parts(span)[0] for span in context.spans if span.span.media is not None]
    return [Image.frombytes("RGB", (part.width, part.height), part.rgb) for part in parts]


def text_of(context, prompt, backend):
    """The prompt's context as a text that the processor expands; tokens of single bytes make texts composable."""
    tokenizer, picture = backend.loaded.tokenizer, backend.encoder._pictures._text
    pieces, at = [], 0
    for span, tokens in zip(context.spans, prompt.span_map, strict=True):
        pieces.append(tokenizer.decode(prompt.context_ids[at : tokens.start]))
        pieces.append(span.span.text if span.span.text is not None else picture)
        at = tokens.stop
    return "".join(pieces)


def biased(module, query, key, value, attention_mask, **kwargs):
    """The recording eager attention under the model's own mask and the bias of the running comparison."""
    return recording_eager(module, query, key, value, attention_mask + module.reference_bias, **kwargs)


class PictureEager(Eager):
    """The stock model over the whole sequence and all pictures at once."""

    def __init__(self, folder, backend, context, prompt, section="text_config"):
        AttentionInterface.register("xmguard_reference_pictures", biased)
        AttentionMaskInterface.register("xmguard_reference_pictures", eager_mask)
        self.model = AutoModelForImageTextToText.from_pretrained(
            folder, attn_implementation={section: "xmguard_reference_pictures"}, dtype=torch.float32
        ).eval()
        processor = load_processor(folder, {})
        made = processor(
            text=[text_of(context, prompt, backend)],
            images=images_of(context) or None,
            return_tensors="pt",
            return_mm_token_type_ids=True,
        )
        # The processor over the whole text and all pictures at once lays the same tokens in the same places.
        assert made["input_ids"][0].tolist() == list(prompt.context_ids)
        accepted = inspect.signature(type(self.model).forward).parameters
        names = ("mm_token_type_ids", "token_type_ids")
        self.types = {name: torch.as_tensor(made[name]) for name in names if name in made and name in accepted}
        self.images = {name: made[name] for name in made if name in accepted and name not in (*names, *OF_TOKENS)}

    def _mask(self, length, span_map, bias, prompt_tokens):
        """The bias alone: causality is the model's business."""
        added = torch.zeros(length, length)
        for span in span_map:
            first = first_row(span, span_map, bias, prompt_tokens)
            added[first:, span.start : span.stop] += max(bias.epsilon.get(span.span_id, 0.0), LOWEST)
        return added

    def _forward(self, ids, mask):
        for layer in self.model.get_decoder().layers:
            layer.self_attn.reference_bias = mask
        more = ids.shape[1]
        told = {name: torch.nn.functional.pad(of, (0, more - of.shape[1])) for name, of in self.types.items()}
        return self.model(input_ids=ids, use_cache=False, **told, **self.images)
