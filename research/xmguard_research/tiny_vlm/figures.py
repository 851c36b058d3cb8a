"""The training log as a picture: loss and validation against tokens, one colour a stage."""

from __future__ import annotations

from pathlib import Path

from xmguard_research.results import lines


def draw_log(log: Path, picture: Path) -> None:
    """Write a PNG of the log."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    rows = list(lines(log))
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    figure, (losses, matches) = pyplot.subplots(1, 2, figsize=(10, 4))
    before = 0.0
    for stage in stages:
        own = [row for row in rows if row["stage"] == stage]
        steps = {row["step"]: before + row["tokens"] / 1e6 for row in own if "loss" in row}
        losses.plot(list(steps.values()), [row["loss"] for row in own if "loss" in row], label=stage)
        validated = [(steps[row["step"]], row["validation"]["all"]) for row in own if "validation" in row]
        matches.plot([at for at, _ in validated], [value for _, value in validated], marker="o", label=stage)
        before = max(steps.values(), default=before)
    losses.set(xlabel="tokens, millions", ylabel="loss: nats a token; of grounding, nats a cell", yscale="log")
    matches.set(xlabel="tokens, millions", ylabel="pictures not trained on: exact match; words of cells", ylim=(0, 1))
    losses.legend()
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    pyplot.close(figure)
