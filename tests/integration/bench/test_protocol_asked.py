"""What models read under each protocol: ours, as token ids, and those of other providers, as text."""

import pytest
from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.model import GenerateConfig, get_model

from xmguard import Span
from xmguard.backends.transformers.backend import TransformersBackend
from xmguard.errors import InvalidRequest
from xmguard.prompt_text import QUESTION
from xmguard.request import Prompt
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.clqa.suites import clqa
from xmguard_research.benchmarks.protocol import PARAGRAPHS
from xmguard_research.benchmarks.settings import Settings
from xmguard_research.benchmarks.summary import answered
from xmguard_research.benchmarks.tasks import conflicts

ENGLISH, CHINESE = "The door is red {sic}.", "门是绿色的。"
CASE = Case(
    "door/conflict",
    "door",
    "en-zh",
    "Which colour is the door?",
    (Span("s1", ENGLISH, language="en"), Span("s2", CHINESE, language="zh")),
    True,
    ("red", "green"),
)


def asked(**told) -> Task:
    return conflicts([CASE], name="doors", settings=Settings(**told))


@pytest.fixture
def read(monkeypatch):
    """Every prompt that an engine encodes, which is what it then reads."""
    prompts = []
    encode = TransformersBackend.encode

    def recording(self, context, prompt):
        prompts.append(encode(self, context, prompt))
        return prompts[-1]

    monkeypatch.setattr(TransformersBackend, "encode", recording)
    return prompts


def run(task, folder, logs):
    model = get_model(f"xmguard/{folder}", config=GenerateConfig(max_tokens=2), memoize=False)
    (log,) = evaluate(task, model=model, log_dir=str(logs), display="none", max_retries=0)
    assert log.status == "success", log.error
    return model


def test_our_model_reads_the_text_of_the_paper_s_structure_that_others_read(tiny_folder, tiny_backend, tmp_path, read):
    decode = tiny_backend.loaded.tokenizer.decode
    logs = {}
    for protocol in ("paper", "xmguard"):
        task = asked(protocol=protocol)
        others = {sample.metadata["prompt"]: sample.input[0].text for sample in task.dataset}
        read.clear()
        run(task, tiny_folder, tmp_path / protocol)
        ours = {}
        for prompt in read:
            text = decode([*prompt.context_ids, *prompt.joint_tail], clean_up_tokenization_spaces=False)
            spans = [decode(prompt.context_ids[one.start : one.stop]) for one in prompt.span_map]
            assert spans == [ENGLISH, CHINESE]
            (name,) = [name for name, said in others.items() if said in text]
            head, foot = text.split(others[name])
            ours[name] = (head, foot)
        assert set(ours) == set(others) == {"standard", "instructed", "explicit"}
        assert len(set(ours.values())) == 1  # nothing beside what the template puts around every message
        logs[protocol] = others
    assert set(logs["paper"].values()).isdisjoint(logs["xmguard"].values())
    task = PARAGRAPHS.tasks[Prompt.STANDARD].replace(QUESTION, CASE.question)
    assert logs["paper"]["standard"] == f"{PARAGRAPHS.preamble}{ENGLISH}\n{CHINESE}{task}"


def test_one_loaded_model_asks_in_the_words_of_each_message(tiny_folder, tiny_backend, tmp_path, read):
    words = tmp_path / "words.toml"
    words.write_text(
        'preamble = "Lo!"\nstandard = " ({question})"\ninstructed = "{question}"\nexplicit = "{question}"',
        encoding="utf-8",
    )
    model = get_model(f"xmguard/{tiny_folder}", config=GenerateConfig(max_tokens=1), memoize=False)
    for told in ({"protocol": "paper", "prompt_file": str(words)}, {}):
        task = asked(prompts="standard", **told)
        evaluate(task, model=model, log_dir=str(tmp_path / "logs"), display="none", max_retries=0)
    first, second = (tiny_backend.loaded.tokenizer.decode([*prompt.context_ids, *prompt.joint_tail]) for prompt in read)
    assert f"Lo!{ENGLISH}\n{CHINESE} ({CASE.question})" in first
    assert "Lo!" not in second
    assert [row.key.setting[:5] for row in answered(tmp_path / "logs")] == ["paper", ""]


@pytest.mark.anyio
async def test_a_served_model_refuses_words_that_are_not_its_own():
    (sample,) = asked(protocol="paper", prompts="standard").dataset
    model = get_model("xmguard-server/127.0.0.1:1", memoize=False)
    with pytest.raises(InvalidRequest, match="protocol: a served model asks in its own words; load it here"):
        await model.api.generate(list(sample.input), [], "none", GenerateConfig())


def test_every_suite_takes_the_protocol_and_the_pairing():
    task = clqa(
        topics=1, variants=["en-zh"], size="short", protocol="paper", pairing="figure5", policy="fixed", epsilon=2
    )
    assert {sample.metadata["prompt"] for sample in task.dataset} == {"standard"}
    assert {sample.metadata["variant"] for sample in task.dataset} == {"en-zh", "zh-en"}
    assert all(sample.input[0].text.startswith(PARAGRAPHS.preamble) for sample in task.dataset)
    label = "paper; figure5; fixed +2 on the smaller across modalities, else the later readers"
    assert task.metadata["setting"] == label
