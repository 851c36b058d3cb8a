"""Instances with pictures: trained on as they are served, to the token and the pixel, with every item in sight."""

from io import BytesIO
from types import SimpleNamespace

import pytest
import torch
import xmguard_image
from PIL import Image
from torch import nn

import xmguard_smolvlm_tiny
from tests.integration.tiny_training import make_base, make_parts
from xmguard.backends.transformers.loader import load
from xmguard.context import Context, ContextSpan
from xmguard.errors import InvalidRequest, ModelRefused
from xmguard.plugins import load_plugins
from xmguard.request import Prompt
from xmguard.span import Media, Span
from xmguard.testing.tiny_pictures import make_picture_model
from xmguard_research.mixing.bases import Base, find_base
from xmguard_research.mixing.collating import AnswerCollator, WholeCollator, row
from xmguard_research.mixing.encoding import IGNORED, InstanceEncoder
from xmguard_research.mixing.modelling import check_pictures, load_model
from xmguard_research.mixing.readers import load_reader
from xmguard_research.mixing.recipe import Train
from xmguard_research.mixing.trainer import after_context, negative_log_likelihood

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

QUESTION = "What does the sign say?"
SAID = "The sign says OPEN until nine."
TRAIN = {"precision": "fp32", "rank": 4, "alpha": 8, "modules": ["q_proj", "v_proj", "o_proj"]}


def png(seed, width, height):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (height, width, 3), generator=generator, dtype=torch.uint8)
    stream = BytesIO()
    Image.fromarray(pixels.numpy()).save(stream, "PNG")
    return stream.getvalue()


def text(said):
    return {"type": "text", "text": said}


def image(name):
    return {"type": "image", "path": name}


def turn(*sources, answer="red"):
    """A question over sources as it is served, and its reply."""
    from xmguard.languages.english.prompts import PROMPT_TEXT

    said = [text(PROMPT_TEXT.preamble)]
    for index, source in enumerate(sources):
        said += [text(PROMPT_TEXT.separator)] if index else []
        said.append(source)
    said.append(text(PROMPT_TEXT.tasks[Prompt.STANDARD].replace("{question}", QUESTION)))
    return [{"role": "user", "content": said}, {"role": "assistant", "content": [text(answer)]}]


def instance(*turns):
    return {"id": "one", "messages": [message for one in turns for message in one]}


@pytest.fixture(scope="module")
def registry():
    return load_plugins(extra={"image": xmguard_image, "smolvlm-tiny": xmguard_smolvlm_tiny})


def make_smolvlm_tiny(folder):
    """The plugin's own classes, with a small tower."""
    model, processor = make_parts(make_base(folder / "base"))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["Llava", "SmolVLM", "Idefics3", "smolvlm-tiny"])
def family(request, tmp_path_factory, registry):
    """A tiny model, and pictures of which one makes more tiles than the others where a processor makes tiles."""
    place = tmp_path_factory.mktemp("model")
    folder = make_smolvlm_tiny(place) if request.param == "smolvlm-tiny" else make_picture_model(place, request.param)
    data = tmp_path_factory.mktemp("data")
    for name, seed, width, height in (("a.png", 1, 40, 36), ("b.png", 2, 40, 36), ("wide.png", 3, 160, 40)):
        (data / name).write_bytes(png(seed, width, height))
    base = find_base(str(folder), registry)
    assert base.reads_pictures
    reader = load_reader(base, registry)
    encoder = InstanceEncoder(
        reader.tokenizer,
        registry,
        "tiny",
        frozenset({reader.tokenizer.eos_token_id}),
        template=reader.template,
        pictures=reader.pictures,
        folder=data,
    )
    model = load_model(base, Train(**TRAIN))
    torch.manual_seed(3)
    for name, weight in model.named_parameters():  # an adapter that does something
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.3)
    return SimpleNamespace(
        folder=folder, data=data, base=base, reader=reader, encoder=encoder, model=model.eval(), registry=registry
    )


def batch(family, *instances, kind=WholeCollator):
    rows = [row(family.encoder.encode(one)) for one in instances]
    return kind(family.reader.tokenizer.eos_token_id, pictures=family.reader.pictures)(rows)


def test_an_instance_is_what_a_request_is_served_as(family):
    """Token ids before the reply, where the task begins, and what the vision tower is given."""
    spans = (
        ContextSpan(Span("s1", media=Media("image/png", (family.data / "a.png").read_bytes())), "image", "und"),
        ContextSpan(Span("s2", SAID), "text", "en"),
        ContextSpan(Span("s3", media=Media("image/png", (family.data / "wide.png").read_bytes())), "image", "und"),
    )
    served = load(family.folder, registry=family.registry).encode(Context(spans, QUESTION), Prompt.STANDARD)
    asked = instance(turn(image("a.png"), text(SAID), image("wide.png")))
    encoded = family.encoder.encode(asked)
    assert encoded.ids[: encoded.targets[0].start] == (*served.context_ids, *served.joint_tail)
    assert encoded.task == len(served.context_ids)
    assert [picture.start for picture in encoded.pictures] == [picture.start for picture in served.media]
    for placed, picture in zip(encoded.pictures, served.media, strict=True):
        read = family.reader.pictures.read(placed.file)
        assert (read.ids, read.placeholders) == (picture.ids, picture.placeholders)
        assert all(torch.equal(read.inputs[name], value) for name, value in picture.inputs.items())


def test_a_picture_is_no_target(family):
    encoded = family.encoder.encode(instance(turn(image("a.png")), turn(image("wide.png"))))
    reply = (
        *family.reader.tokenizer("red", add_special_tokens=False)["input_ids"],
        family.reader.tokenizer.eos_token_id,
    )
    assert [tuple(encoded.ids[place] for place in target) for target in encoded.targets] == [reply, reply]
    assert sum(label != IGNORED for label in encoded.labels) == 2 * len(reply)


def test_the_answer_to_a_later_item_reads_the_picture_of_an_earlier_one(family):
    """Nothing packs the items apart: of two instances that differ in the first picture, the second answers differ."""
    second = turn(text(SAID), answer="OPEN")
    one, other = (batch(family, instance(turn(image(name)), second)) for name in ("a.png", "b.png"))
    assert torch.equal(one["input_ids"], other["input_ids"])
    targets = family.encoder.encode(instance(turn(image("a.png")), second)).targets
    with torch.no_grad():
        first, changed = (
            family.model(input_ids=each["input_ids"], **each["pictures"]).logits[
                0, targets[1].start - 1 : targets[1].stop - 1
            ]
            for each in (one, other)
        )
    assert (first - changed).abs().amax(-1).min() > 1e-3


def test_the_loss_is_that_of_the_whole_model_over_the_targets(family):
    """Instances of different lengths with one, two and no pictures in a batch, against all logits at once."""
    made = [
        instance(turn(image("wide.png"), image("a.png")), turn(text(SAID), answer="OPEN")),
        instance(turn(text(SAID), answer="closed")),
        instance(turn(text(SAID), image("b.png"))),
    ]
    inputs = batch(family, *made)
    with torch.no_grad():
        found = negative_log_likelihood(family.model, inputs, use_cache=False, **inputs["pictures"])
        mask = torch.arange(inputs["input_ids"].shape[1]) < inputs["lengths"][:, None]
        logits = family.model(input_ids=inputs["input_ids"], attention_mask=mask, **inputs["pictures"]).logits
    plain = nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), inputs["labels"][:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
    )
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-3)


def test_contexts_of_the_same_tokens_and_other_pictures_are_other_contexts(family):
    made = [instance(turn(image(name), text(SAID))) for name in ("a.png", "b.png", "a.png")]
    inputs = batch(family, *made, kind=AnswerCollator)
    assert inputs["context"].tolist() == [0, 1, 0]
    with torch.no_grad():
        together = _answering(family.model, inputs)
        alone = sum(_answering(family.model, batch(family, one, kind=AnswerCollator)) for one in made)
        first, second = (_answering(family.model, batch(family, one, kind=AnswerCollator)) for one in made[:2])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-3)
    assert (first - second).abs() > 1e-3


def test_an_adapter_of_the_answer_leaves_the_reading_of_pictures_to_the_base(family):
    """Against the base's own context, and an adapter that comes in at the task."""
    inputs = batch(family, instance(turn(image("a.png"), image("wide.png"))), kind=AnswerCollator)
    length = int(inputs["context_lengths"])
    with torch.no_grad():
        found = _answering(family.model, inputs)
        with family.model.disable_adapter():
            context = inputs["context_ids"][:, :length]
            cache = family.model(input_ids=context, use_cache=True, **inputs["pictures"]).past_key_values
        own = int(inputs["lengths"])
        logits = family.model(input_ids=inputs["input_ids"][:, :own], past_key_values=cache).logits[0]
    plain = nn.functional.cross_entropy(logits[:-1], inputs["labels"][0, 1:own], ignore_index=IGNORED, reduction="sum")
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-3)


def _answering(model, inputs):
    return negative_log_likelihood(model, inputs, **after_context(model, model, inputs))


def test_only_the_language_model_is_adapted(family):
    decoder = family.model.get_base_model().get_decoder()
    prefix = next(name for name, module in family.model.named_modules() if module is decoder)
    trained = [name for name, weight in family.model.named_parameters() if weight.requires_grad]
    assert trained
    assert all(name.startswith(f"{prefix}.") and "lora_" in name for name in trained)


def test_trained_whole_a_model_keeps_its_eyes(family):
    model = load_model(family.base, Train(**TRAIN | {"method": "full"}))
    decoder = set(model.get_decoder().parameters()) | set(model.get_output_embeddings().parameters())
    assert {weight for weight in model.parameters() if weight.requires_grad} == decoder


@pytest.mark.parametrize(("name", "said"), [("Qwen2VL", "three dimensions"), ("Gemma3", "both ways")])
def test_a_model_that_is_told_more_of_its_pictures_is_refused(tmp_path, name, said):
    base = Base("tiny", make_picture_model(tmp_path, name), reads_pictures=True)
    with pytest.raises(ModelRefused, match=said):
        check_pictures(base, load_model(base, Train(**TRAIN)))


def test_a_picture_that_cannot_be_trained_on_is_named(family, tmp_path):
    (family.data / "lost.png").write_bytes((family.data / "a.png").read_bytes())
    encoded = family.encoder.encode(instance(turn(image("lost.png"))))
    (family.data / "lost.png").unlink()  # between the first look and the step that trains on it
    with pytest.raises(InvalidRequest, match=r"lost\.png: cannot be read: No such file.*; build the data again"):
        WholeCollator(0, pictures=family.reader.pictures)([row(encoded)])
    (family.data / "broken.png").write_bytes(b"nothing")
    (family.data / "a.gif").write_bytes(b"GIF89a")
    for name, said in (
        ("nowhere.png", "is not there"),
        ("../a.png", "lies outside"),
        ("broken.png", "is no image"),
        ("a.gif", "convert it"),
    ):
        with pytest.raises(InvalidRequest, match=f"{name}.*{said}"):
            family.encoder.encode(instance(turn(image(name))))
    asked = {"id": "one", "messages": [*turn(text(SAID))[:1], {"role": "assistant", "content": [image("a.png")]}]}
    with pytest.raises(InvalidRequest, match=r"one: .*only a user's messages may"):
        family.encoder.encode(asked)
