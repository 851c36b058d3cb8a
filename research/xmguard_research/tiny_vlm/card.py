"""The model card of `smolvlm-tiny`, from a results file, between marks in the plugin's README."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmguard.profile import CARD
from xmguard_research.tiny_vlm.answering import REPLY

MARK = "<!-- tiny_vlm -->"
SHOWN = ("noto", "fluent", "noto shuffled", "fluent shuffled", "guessed")
"""Runs of the main table."""


def made_from(folder: Path) -> dict[str, Any]:
    """`weights_sha256` and `training` of a model's folder: what the card ends with.

    Raises:
        ValueError: the folder does not say.
    """
    file = folder / CARD
    if not file.is_file():
        raise ValueError(f"{folder} has no {CARD}; name a folder that `xmguard models pull smolvlm-tiny` made")
    found = json.loads(file.read_text(encoding="utf-8"))
    known = {**found, **found.get("training", {})}
    needed = ("weights_sha256", "training", "tokens_spent", "seconds_spent")
    if lacking := [name for name in needed if name not in known]:
        raise ValueError(f"{file} lacks {', '.join(lacking)}; pull the model again")
    return {name: found[name] for name in needed[:2]}


def card(results: Mapping[str, Any]) -> str:
    """Tables of abilities and losses, in Markdown."""
    runs, aims, mentions = results["runs"], results["aims"], results["text_mentions"]
    fluent, chat, training = runs["fluent"]["all"], results["chat"], results["training"]
    lines = [
        f"* Seen skills, which are all but `sign_new`: {_percent(aims['noto'])} exact in the style of training, Noto;"
        " aimed at 90%.",
        f"* The same in the held-out style, Fluent, over the pictures that hold art: {_percent(aims['fluent'])}; aimed"
        f" at 60%. In Noto over the same questions: {_percent(aims['noto, art'])}.",
        f"* Reading prices and signs of known words: {_percent(aims['reading noto'])} in Noto, aimed at 80%;"
        f" {_percent(aims['reading fluent'])} in Fluent.",
        "",
        "| skill | pictures | questions | Noto | Fluent | Noto shuffled | Fluent shuffled | without looking |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for skill, noto in runs["noto"].items():
        shown = " | ".join(_percent(runs[run].get(skill)) for run in SHOWN)
        lines.append(f"| {skill} | {noto['sources']} | {noto['questions']} | {shown} |")
    lines += [
        "",
        "Share of questions answered exactly (the whole reply, letter case aside), greedy decoding, float32, one",
        "picture and one question a prompt. 95% intervals by resampling pictures; where all pictures agree, Wilson's",
        f"for their number. Fluent: the {fluent['sources']} pictures ({fluent['questions']} questions) that hold art;"
        " documents, tables, paragraphs",
        "and coloured shapes are the same in both. *Shuffled* shows another picture of the same layout with the same",
        "fields: what is left without seeing. *Without looking* is the most frequent training answer to the same",
        "words, or to the skill if they were never asked.",
        "",
        f"Asked as the joint answer is (`Using all of the sources above, …`): {_percent(runs['noto joint']['all'])} of"
        " the Noto questions.",
        "",
        "| reading without pictures | smolvlm-tiny | SmolLM2-135M-Instruct |",
        "|---|---|---|",
        _reading("questions about sentences, exact", runs["text smolvlm-tiny"]["all"], runs["text smollm2"]["all"]),
        _reading("the same, answer anywhere in the reply", mentions["text smolvlm-tiny"], mentions["text smollm2"]),
        f"| log-likelihood of fixed chat replies, nats a token ({chat['smollm2']['tokens']} tokens) | "
        f"{chat['smolvlm-tiny']['nats_per_token']:.3f} | {chat['smollm2']['nats_per_token']:.3f} |",
        "",
        f"All replies end after {REPLY} tokens, so an answer that a longer reply would give later is not counted.",
        f"Trained on {training['tokens_spent'] / 1e6:.2f} million tokens in the last stage"
        f" ({training['seconds_spent'] / 60:.0f} minutes). Weights: SHA-256",
        f"`{results['weights_sha256'][:16]}…`.",
    ]
    return "\n".join(lines)


def replaced(document: str, text: str) -> str:
    """The document with a card between its two marks.

    Raises:
        ValueError: there are not two.
    """
    parts = document.split(MARK)
    if len(parts) != 3:
        raise ValueError(f"the document has {len(parts) - 1} marks {MARK}, not 2")
    return f"{parts[0]}{MARK}\n{text}\n{MARK}{parts[2]}"


def _percent(found: Mapping[str, float] | None) -> str:
    return "–" if found is None else f"{found['share']:.0%} ({found['low']:.0%} to {found['high']:.0%})"


def _reading(name: str, ours: Mapping[str, float], before: Mapping[str, float]) -> str:
    return f"| {name} | {_percent(ours)} | {_percent(before)} |"
