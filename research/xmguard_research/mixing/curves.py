"""A run's metrics as a picture: loss against the tokens trained on."""

from __future__ import annotations

from pathlib import Path

from xmguard_research.results import lines


def draw(metrics: Path, stem: Path) -> None:
    """Write `stem.svg` and `stem.png`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = list(lines(metrics))
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    losses = figure.add_subplot()
    for key, label, style in (("loss", "training", "-"), ("validation_loss", "validation", "o-")):
        found = [row for row in rows if key in row]
        if found:
            losses.plot(
                [row["trained_tokens"] for row in found],
                [row[key] for row in found],
                style,
                label=label,
                linewidth=1,
                markersize=4,
            )
    losses.set(xlabel="tokens trained on", ylabel="loss, nats a token")
    losses.legend()
    losses.grid(alpha=0.3)
    for suffix in (".svg", ".png"):
        figure.savefig(stem.with_suffix(suffix), dpi=110)
