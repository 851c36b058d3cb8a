"""The training log as a picture: loss and validation against the time, one colour a stage."""

from __future__ import annotations

from pathlib import Path

from xmguard_research.results import lines


def draw_log(log: Path, picture: Path) -> None:
    """Write a PNG of the log."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    rows = list(lines(log))
    figure, (losses, matches) = pyplot.subplots(1, 2, figsize=(10, 4))
    before = 0.0
    for stage in dict.fromkeys(row["stage"] for row in rows):
        own = {row["step"]: row for row in rows if row["stage"] == stage and "loss" in row}
        at = {step: before + row["minutes"] for step, row in own.items()}
        losses.plot(list(at.values()), [row["loss"] for row in own.values()], label=stage)
        found = {row["step"]: row["validation"]["all"] for row in rows if row["stage"] == stage and "validation" in row}
        matches.plot([at[step] for step in found], list(found.values()), marker="o", label=stage)
        before = max(at.values(), default=before)
    losses.set(
        title="loss",
        xlabel="minutes",
        ylabel="adapter: nats a token\ngrounding: nats a cell, and the weighted distance",
        yscale="log",
    )
    matches.set(
        title="pictures not trained on",
        xlabel="minutes",
        ylabel="adapter: exact matches\ngrounding: known words of a cell among its likeliest",
        ylim=(0, 1),
    )
    losses.legend()
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    pyplot.close(figure)
