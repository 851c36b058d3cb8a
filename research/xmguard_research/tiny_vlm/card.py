"""The model card of `smolvlm-tiny`, from a results file, between marks in the plugin's README."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MARK = "<!-- tiny_vlm -->"


def card(results: Mapping[str, Any]) -> str:
    """Tables of abilities and losses, in Markdown."""
    runs, majority = results["runs"], results["majority"]
    skills = [skill for skill in runs["noto"] if skill != "all"]
    lines = [
        "Share of questions answered exactly (the whole reply, letter case aside), greedy decoding, float32, one",
        "picture and one question a prompt; 95% intervals by resampling pictures. *Shuffled* shows another picture of",
        "the same kind: what is left without seeing. *Without looking* is the most frequent training answer to the",
        "same words.",
        "",
        "| skill | questions | Noto (style of training) | Fluent (held out) | Noto, shuffled | Fluent, shuffled | "
        "without looking |",
        "|---|---|---|---|---|---|---|",
    ]
    for skill in [*skills, "all"]:
        noto = runs["noto"][skill]
        shown = " | ".join(
            _percent(runs[run].get(skill)) for run in ("noto", "fluent", "noto shuffled", "fluent shuffled")
        )
        lines.append(f"| {skill} | {noto['questions']} | {shown} | {majority.get(skill, 0.0):.0%} |")
    joint, mentions, chat = runs["noto joint"]["all"], results["text_mentions"], results["chat"]
    lines += [
        "",
        f"Asked as the joint answer is (`Using all of the sources above, …`): {_percent(joint)} of the Noto questions.",
        "",
        "| reading without pictures | smolvlm-tiny | SmolLM2-135M-Instruct |",
        "|---|---|---|",
        _reading("questions about sentences, exact", runs["text smolvlm-tiny"]["all"], runs["text smollm2"]["all"]),
        _reading("the same, answer anywhere in the reply", mentions["text smolvlm-tiny"], mentions["text smollm2"]),
        f"| log-likelihood of fixed chat replies, nats a token ({chat['smollm2']['tokens']} tokens) | "
        f"{chat['smolvlm-tiny']['nats_per_token']:.3f} | {chat['smollm2']['nats_per_token']:.3f} |",
        "",
        f"Trained on {results['training']['tokens_spent'] / 1e6:.2f} million tokens in the last stage"
        f" ({results['training']['seconds_spent'] / 60:.0f} minutes). Weights: SHA-256",
        f"`{results['weights_sha256'][:16]}…`.",
    ]
    return "\n".join(lines)


def replaced(document: str, results: Mapping[str, Any]) -> str:
    """The document with the card between its two marks.

    Raises:
        ValueError: there are not two.
    """
    parts = document.split(MARK)
    if len(parts) != 3:
        raise ValueError(f"the document has {len(parts) - 1} marks {MARK}, not 2")
    return f"{parts[0]}{MARK}\n{card(results)}\n{MARK}{parts[2]}"


def _percent(found: Mapping[str, float] | None) -> str:
    return "–" if found is None else f"{found['share']:.0%} ({found['low']:.0%} to {found['high']:.0%})"


def _reading(name: str, ours: Mapping[str, float], before: Mapping[str, float]) -> str:
    return f"| {name} | {_percent(ours)} | {_percent(before)} |"
