"""Everything that decides what comes out of training, beside the scenes themselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One pass of the optimiser over the budget's share."""

    name: str
    share: float
    """Of the budget."""
    projector_rate: float
    """Peak learning rate of the projector."""
    adapter_rate: float
    """Peak learning rate of the language model's adapter; 0 leaves the language model out."""
    batch: int
    """Pictures a step, with everything that is asked of them."""


@dataclass(frozen=True)
class Recipe:
    """What is learned from, and how."""

    style: str = "noto"
    pictures: int = 14_000
    """Drawn for training; more than one pass costs nothing more, since their features are kept."""
    small_print: float = 0.4
    """Share of the documents, tables and paragraphs that are asked about: their letters are near what the tower
    can tell apart, and learning them at full weight takes the time of everything else. All of them are grounded."""
    texts: float = 0.07
    """Share of examples that hold sentences and no picture, so that reading is not unlearned."""
    mixed: float = 0.08
    """Share that holds a picture and the sentences of another scene, in either order, asked about either."""
    described: float = 0.15
    """Share of the lone pictures that are described in sentences, in place of the questions answered by yes or no:
    there are more words to learn from in a description, and every one is about what is seen."""
    joint: float = 0.25
    """Share of a lone picture's questions that are put as the joint answer's task, not as a span read alone."""
    rank: int = 16
    alpha: int = 32
    stages: tuple[Stage, ...] = (
        Stage("grounding", share=0.3, projector_rate=1.5e-3, adapter_rate=0.0, batch=64),
        Stage("adapter", share=0.7, projector_rate=2e-4, adapter_rate=5e-4, batch=8),
    )
    warmup: float = 0.03
    """Share of a stage over which the learning rates rise; then they fall along a cosine to nothing."""
    weight_decay: float = 0.01
    modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    seed: int = 0

    @property
    def lora_scale(self) -> float:
        """An adapted weight is W + lora_scale * B A."""
        return self.alpha / self.rank
