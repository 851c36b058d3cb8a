"""The pair probe against PEFT in float64, and what it must leave as it was."""

import hashlib
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.integration.adapters import TASK, Adapted
from tests.integration.parity import THREE, context
from xmguard.backends.transformers import compact_context
from xmguard.backends.transformers.branch_reading import BranchReading
from xmguard.backends.transformers.loader import load
from xmguard.backends.transformers.probe import load_probe
from xmguard.backends.transformers.session import TransformersSession
from xmguard.bias import REMOVE, AttentionBias
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.errors import Cancelled, ModelRefused
from xmguard.request import Prompt
from xmguard.testing import make_model

# PEFT asks transformers for an attribute by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

TWO = context("The sign says OPEN until nine.", "标志上写着：关门。")
FOUR = context("The sign says OPEN until nine.", "标志上写着：关门。", "A long story of something else.", "x")


@pytest.fixture(scope="module")
def adapted(tiny_folder, tmp_path_factory):
    return Adapted(tiny_folder, tmp_path_factory.mktemp("probe") / "adapter")


def probing(backend, source):
    """The backend with a probe, as its loader would put it together."""
    encoder = replace_task(backend.encoder, source.task)
    return replace(
        backend, loaded=replace(backend.loaded, probe=load_probe(source, backend.loaded.model)), encoder=encoder
    )


def replace_task(encoder, task):
    return type(encoder)(encoder._tokenizer, encoder._registry, "tiny", probe_task=task)


def pair_of(prompt, name, *pair):
    removed = dict.fromkeys((span for span in prompt.span_map.ids if span not in pair), REMOVE)
    return Branch(name, prompt.probe_tail, AttentionBias(removed))


def assert_exact(backend, adapted, asked, pairs):
    prompt = backend.encode(asked, Prompt.STANDARD)
    branches = [pair_of(prompt, f"{a}{b}", a, b) for a, b in pairs]
    found = TransformersSession(backend.loaded, prompt, Stop()).probe(branches)
    for branch, logits in zip(branches, found, strict=True):
        want = adapted.reference(prompt, branch.tail, branch.bias)
        assert logits == pytest.approx(want.tolist(), abs=1e-4), branch.name
        assert want.tolist() != pytest.approx(
            adapted.reference(prompt, branch.tail, AttentionBias({"a": REMOVE})).tolist(), abs=1e-2
        )
        assert want.tolist() != pytest.approx(
            adapted.reference(prompt, branch.tail, branch.bias, adapted=False).tolist(), abs=1e-2
        )


@pytest.mark.parametrize("layers", [1, 2, 3], ids=["one layer", "two layers", "every layer"])
def test_logits_are_those_of_the_adapter_after_the_untouched_context(tiny_folder, tiny_backend, tmp_path, layers):
    adapted = Adapted(tiny_folder, tmp_path / "adapter", layers)
    backend = probing(tiny_backend, adapted.source)
    assert_exact(backend, adapted, TWO, [("a", "b")])
    assert_exact(backend, adapted, THREE, [("a", "b"), ("a", "c")])


def test_the_logits_are_the_same_where_the_visible_spans_are_copied(tiny_backend, adapted, monkeypatch):
    for limit, value in (("SMALLEST", 1), ("FEWEST_SPANS", 1), ("WORTH_IT", 0.9)):
        monkeypatch.setattr(compact_context, limit, value)
    assert_exact(probing(tiny_backend, adapted.source), adapted, FOUR, [("a", "b"), ("a", "c"), ("a", "d")])


@pytest.mark.parametrize("family", ["Qwen2", "Gemma2", "Qwen3"])
def test_families_with_biases_windows_and_norms_of_heads_are_probed_as_exactly(tmp_path, registry, family):
    from tests.integration.families import FAMILIES

    member = FAMILIES[family]
    folder = make_model(tmp_path / "model", family=family, seed=member.seed, **member.config)
    adapted = Adapted(folder, tmp_path / "adapter", 2, modules=("q_proj", "v_proj"))
    assert_exact(probing(load(folder, registry=registry), adapted.source), adapted, THREE, [("a", "b")])


def test_an_adapter_of_zeros_leaves_the_first_layers_as_they_are(tiny_folder, tiny_backend, tmp_path):
    adapted = Adapted(tiny_folder, tmp_path / "adapter", strength=0)
    backend = probing(tiny_backend, adapted.source)
    prompt = backend.encode(THREE, Prompt.STANDARD)
    branch = pair_of(prompt, "ab", "a", "b")
    (found,) = TransformersSession(backend.loaded, prompt, Stop()).probe([branch])
    want = adapted.reference(prompt, branch.tail, branch.bias, adapted=False)
    assert found == pytest.approx(want.tolist(), abs=1e-4)


def test_a_batch_of_probes_equals_one_by_one(tiny_backend, adapted):
    backend = probing(tiny_backend, adapted.source)
    prompt = backend.encode(THREE, Prompt.STANDARD)
    branches = [pair_of(prompt, a + b, a, b) for a, b in ("ab", "ac", "bc")]
    together = TransformersSession(backend.loaded, prompt, Stop())
    found = together.probe(branches)
    assert len({round(logits[0], 3) for logits in found}) == 3
    for branch, logits in zip(branches, found, strict=True):
        alone = TransformersSession(backend.loaded, prompt, Stop())
        assert logits == pytest.approx(alone.probe([branch])[0], abs=1e-5)
    usage = together.usage()
    assert usage.branch_tokens == 3 * len(prompt.probe_tail)
    assert usage.cached_tokens == 2 * len(prompt.context_ids)
    for again, logits in zip(together.probe(branches[::-1]), found[::-1], strict=True):
        assert again == pytest.approx(logits, abs=1e-5)
    assert together.probe([]) == []


def scores(backend, prompt):
    branch = Branch("joint", prompt.joint_tail, AttentionBias({"a": 2.0}))
    return TransformersSession(backend.loaded, prompt, Stop()).score([(branch, (40, 41, 70))])


def test_the_model_is_bit_for_bit_what_it_was_before_a_probe(tiny_backend, adapted, monkeypatch):
    backend = probing(tiny_backend, adapted.source)
    prompt = backend.encode(THREE, Prompt.STANDARD)
    before = scores(tiny_backend, prompt)
    session = TransformersSession(backend.loaded, prompt, Stop())
    branch = pair_of(prompt, "ab", "a", "b")
    session.probe([branch])
    assert scores(backend, prompt) == before
    with monkeypatch.context() as broken:
        broken.setattr(BranchReading, "read", lambda self, call: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            TransformersSession(backend.loaded, prompt, Stop()).probe([branch])
    assert not any(module._forward_hooks for module in backend.loaded.model.modules())
    assert scores(backend, prompt) == before


def test_a_probe_shares_the_models_weights(tiny_backend, adapted):
    probe = load_probe(adapted.source, tiny_backend.loaded.model)
    own = {id(parameter) for parameter in tiny_backend.loaded.model.parameters()}
    assert {id(parameter) for parameter in probe.decoder.parameters()} <= own
    assert len(probe.decoder.layers) == 2


def test_a_session_without_a_probe_or_with_unlike_branches_says_so(tiny_backend, adapted):
    prompt = tiny_backend.encode(THREE, Prompt.STANDARD)
    one, two = Branch("1", (40, 41), AttentionBias()), Branch("2", (40, 41, 42), AttentionBias())
    with pytest.raises(ValueError, match="no probe"):
        TransformersSession(tiny_backend.loaded, prompt, Stop()).probe([one])
    session = TransformersSession(probing(tiny_backend, adapted.source).loaded, prompt, Stop())
    with pytest.raises(ValueError, match="different tails"):
        session.probe([one, two])
    session.probe([one])
    with pytest.raises(ValueError, match="named '1'"):
        session.probe([replace(one, bias=AttentionBias({"a": REMOVE}))])


def test_a_cancelled_request_ends_before_the_next_probe(tiny_backend, adapted):
    backend, stop = probing(tiny_backend, adapted.source), Stop()
    prompt = backend.encode(THREE, Prompt.STANDARD)
    session = TransformersSession(backend.loaded, prompt, stop)
    stop.cancel()
    with pytest.raises(Cancelled):
        session.probe([pair_of(prompt, "ab", "a", "b")])


def test_the_tail_asks_the_profiles_task_and_plain_ids_hold_no_control_tokens(
    tiny_folder, tiny_backend, adapted, registry
):
    loaded = load(tiny_folder, registry=registry, probe=adapted.source)
    prompt = loaded.encode(THREE, Prompt.STANDARD)
    assert loaded.text(prompt.probe_tail) == TASK.replace("{question}", THREE.question)
    assert loaded.loaded.probe is not None
    assert tiny_backend.encode(THREE, Prompt.STANDARD).probe_tail == ()
    assert tiny_backend.text(tiny_backend.ids("a <think> {b}")) == "a <think> {b}"
    assert not set(tiny_backend.ids("<|im_end|><think>")) & tiny_backend.encoder._added_ids
    asked = tiny_backend.tail("\nWhy?", "Because")
    foot = tiny_backend.tail("")
    assert asked == (*tiny_backend.ids("\nWhy?"), *foot, *tiny_backend.ids("Because"))
    assert foot, "the template ends a message"


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh(tiny_folder, tmp_path):
    return Adapted(tiny_folder, tmp_path / "model" / "adapter")


ANOTHER = "; fit it again for this model, or give another --profile"


def refused(source, backend):
    with pytest.raises(ModelRefused) as caught:
        load_probe(source, backend.loaded.model)
    assert "model/adapter" in str(caught.value)
    return "; ".join(caught.value.reasons)


def test_another_hash_is_refused_before_the_file_is_parsed(fresh, tiny_backend):
    source = fresh.source
    (fresh.folder / "adapter_model.safetensors").write_bytes(b"not tensors")
    found = hashlib.sha256(b"not tensors").hexdigest()
    assert (
        refused(source, tiny_backend)
        == f"the probe has weights that hash to {found}; the profile names {source.sha256}; "
        "get its folder again, as a whole"
    )
    assert refused(replace(source, sha256=found), tiny_backend).startswith("the probe cannot be read: ")


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_missing_file_is_named(fresh, tiny_backend, file):
    source = fresh.source
    (fresh.folder / file).unlink()
    reason = refused(source, tiny_backend)
    assert reason.startswith("the probe cannot be read: ")
    assert file in reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"use_dora": True}, "no plain LoRA adapter: use_dora; train it again with"),
        ({"use_rslora": True}, "no plain LoRA adapter: use_rslora"),
        ({"bias": "all"}, "no plain LoRA adapter: bias"),
        ({"lora_bias": True, "rank_pattern": {"q_proj": 2}}, "no plain LoRA adapter: lora_bias, rank_pattern"),
        ({"alora_invocation_tokens": [1]}, "no plain LoRA adapter: alora_invocation_tokens"),
        ({"init_lora_weights": "pissa"}, "no plain LoRA adapter: init_lora_weights"),
        ({"kasa_config": {"beta": 1e-4}}, "no plain LoRA adapter: kasa_config"),
        ({"target_parameters": ["experts.gate_up_proj"]}, "no plain LoRA adapter: target_parameters"),
        ({"peft_type": "IA3"}, "is no LoRA adapter: its adapter_config.json says so; train a LoRA in its place"),
        ({"r": 0}, "without usable r and lora_alpha; give it those that it was trained with"),
        ({"lora_alpha": None}, "without usable r and lora_alpha"),
        ({"r": 2}, "model.layers.1.self_attn.v_proj that does not fit the model; train it again on this model"),
    ],
)
def test_an_adapter_that_does_something_else_is_refused(fresh, tiny_backend, changes, reason):
    fresh.configure(**changes)
    assert reason in refused(fresh.source, tiny_backend)


def test_a_dora_adapter_as_peft_saves_it_is_refused(tiny_folder, tiny_backend, tmp_path):
    dora = Adapted(tiny_folder, tmp_path / "model" / "adapter", use_dora=True)
    assert "use_dora" in refused(dora.source, tiny_backend)


def changed(adapted, change):
    path = adapted.folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    return adapted.source


def test_an_unknown_key_and_a_wrong_shape_are_named(fresh, tiny_backend):
    prefix = "base_model.model.model.layers.0.self_attn."
    key = f"{prefix}q_proj.lora_A.weight"
    score = "base_model.model.score.weight"
    kept = load_file(fresh.folder / "adapter_model.safetensors")

    def refuses(**changes):
        source = changed(fresh, lambda tensors: (tensors.clear(), tensors.update(kept | changes)))
        return refused(source, tiny_backend)

    assert refuses(**{"base_model.model.score.bias": torch.ones(3)}) == (
        "the probe holds base_model.model.score.bias, which nothing here reads" + ANOTHER
    )
    assert "layers.0.self_attn.q_proj that does not fit" in refuses(**{key: kept[key][:, :-1].contiguous()})
    assert "layers.0.self_attn.q_proj that does not fit" in refuses(**{key: kept[key][:-1].contiguous()})
    assert "layers.0.self_attn.o_proj that does not fit" in refuses(
        **{f"{prefix}o_proj.lora_B.weight": torch.ones(48, 4)}
    )
    assert "adapts model.layers.9.self_attn.q_proj" in refuses(**{key.replace("0", "9"): kept[key].clone()})
    assert refuses(**{score: torch.ones(2, 48)}) == "the probe has no classifier that is 3 by 48" + ANOTHER


def test_an_adapter_without_a_classifier_is_refused(fresh, tiny_backend):
    source = changed(fresh, lambda tensors: tensors.pop("base_model.model.score.weight"))
    assert refused(source, tiny_backend) == "the probe has no classifier that is 3 by 48" + ANOTHER


@pytest.mark.parametrize("layers", [0, 4])
def test_more_layers_than_the_model_has_are_refused(fresh, tiny_backend, layers):
    source = replace(fresh.source, layers=layers)
    assert refused(source, tiny_backend) == f"the probe runs {layers} layers, the model has 3{ANOTHER}"


def test_fewer_layers_than_are_adapted_are_refused(fresh, tiny_backend):
    assert "adapts model.layers.1." in refused(replace(fresh.source, layers=1), tiny_backend)
