"""A small experiment, and its checkpoints' responses made by hand, whose numbers are known."""

import json
from dataclasses import asdict

from xmguard_research.mixing.evaluating import RESPONSES, Response, key
from xmguard_research.mixing.experiment import asked, claim, evaluated
from xmguard_research.mixing.posing import CONFLICT

READING = {"name": "reading", "modality": "en", "generator": "reading", "options": {"topics": 4}}
SPANISH = {"name": "lectura", "modality": "es", "generator": "reading", "options": {"topics": 4, "language": "es"}}
PAIRS = {"name": "pairs", "modality": "en", "generator": "pairs", "options": {"topics": 4, "languages": [["en", "en"]]}}
CONTENT = {
    "name": "small",
    "title": "Small",
    "base": "smollm2",
    "license": "Apache-2.0",
    "stage": {"data": {"strategy": "dataset", "items": 1, "trained_tokens": 100, "sources": [READING, PAIRS]}},
    "training": {"data": {"trained_tokens": 100, "sources": [READING, SPANISH]}},
    "arms": {"dataset": {"data.strategy": "dataset", "data.items": 1}, "instance": {"data.items": 2}},
    "seeds": [0, 1],
    "compare": [["instance", "dataset"], ["instance", "none"]],
    "evaluation": [
        {"suite": "clqa", "variants": ["en-en", "es-es", "en-es"], "items": 2, "questions": 2, "prompts": ["standard"]}
    ],
}


def content(**changes):
    return json.loads(json.dumps({**CONTENT, **changes}))


DETECTED = {"none": 0, "dataset": 1, "instance": 2}
"""Topics of two whose conflicts across languages are reported."""
RATIO = {"none": 4.0, "dataset": 2.0, "instance": 1.5}


def responses(experiment, arm):
    topics = sorted({one.case.item for one in asked(experiment) if one.task == CONFLICT})
    for one in asked(experiment):
        conflict = one.case.conflict
        crosses = len(set(one.labels)) > 1
        reported = conflict and (not crosses or one.case.item in topics[: DETECTED[arm]])
        pair = one.task == CONFLICT
        yield Response(
            key=key(one, "standard"),
            produced_by="hand",
            suite=one.suite,
            task=one.task,
            case=one.case.id,
            item=one.case.item,
            variant=one.variant,
            labels=list(one.labels),
            prompt="standard",
            conflict=conflict,
            words="",
            reported=reported if pair else False,
            reason="",
            expected=one.expected,
            exact=None if pair else arm != "instance",
            holds=None if pair else True,
            tokens=[10] * len(one.labels),
            norms=[RATIO[arm] if crosses and label == "en" else 1.0 for label in one.labels],
        )


def filled(experiment, out, steps=7):
    claim(experiment, out)
    for one in evaluated(experiment, out):
        one.evaluation.mkdir(parents=True)
        one.model.mkdir()
        rows = [json.dumps(asdict(row)) + "\n" for row in responses(experiment, one.arm)]
        (one.evaluation / RESPONSES).write_text("".join(rows))
        training = {"trained_tokens": 50, "read_tokens": 500, "steps": steps, "seconds": 3.0}
        training["data"] = {"instances": 4, "items": 8}
        (one.model / "xmguard.json").write_text(json.dumps({"training": training}))
    return out
