"""The recipe of a fine-tuning: what data is drawn and how it is joined, and how a model is trained on it.

One YAML file, read strictly: an unknown field is an error. Opens no source and loads no model.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, StringConstraints, ValidationError, model_validator

from xmguard.errors import FieldViolation, InvalidRequest
from xmguard_research.mixing import strict
from xmguard_research.mixing.strict import Part

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
Text = Annotated[str, StringConstraints(min_length=1)]


_COMBINATIONS = 2000


class Source(Part):
    """Items of one modality: a JSONL file, a data set that `datasets` loads, or a generator of ours."""

    name: Name
    modality: Name
    """Language or kind of its contexts (`en`, `image`); instances mix items whose modalities differ."""
    weight: float = Field(default=1.0, gt=0)
    """Items drawn of it, relative to the other sources."""
    license: Text | None = None
    """Of its items, for the manifest; None where it is not known."""

    path: Text | None = None
    """JSONL file, relative to the recipe."""
    dataset: Text | None = None
    """A hub name, or a folder relative to the recipe."""
    generator: Text | None = None
    """A name in `xmguard_research.mixing.generators`."""

    options: dict[str, Any] = Field(default_factory=dict)
    """Of the generator."""
    config: Text | None = None
    """Which configuration of the data set."""
    split: Text = "train"
    """Which split of the data set."""
    revision: Text | None = None
    """Commit, tag or branch of the hub's data set."""
    streaming: bool = False
    """Read the data set's first `limit` rows without fetching the rest."""
    limit: int | None = Field(default=None, ge=1)
    """Rows that are read, from the first; None reads all."""

    messages: Text | None = None
    """Column of a conversation, a list of `{"role", "content"}`."""
    prompt: Text | None = None
    """Column of what a user asks, in place of `messages`."""
    answer: Text | None = None
    """Column of the reply to `prompt`."""
    images: Text | None = None
    """Column of a picture or a list of them; they come before the first user message's text."""
    id: Text | None = None
    """Column of the items' ids; without it they are numbered."""

    @property
    def columns(self) -> dict[str, str]:
        """Columns that are named, by field."""
        fields = ("messages", "prompt", "answer", "images", "id")
        return {field: column for field in fields if (column := getattr(self, field)) is not None}

    def lacking(self, there: Collection[str]) -> str:
        """Which column is named and not there, in words; empty if all are."""
        for field, column in self.columns.items():
            if column not in there:
                named = f"named by {field} of source {self.name!r}"
                return f"has no column {column!r}, {named}; there are {', '.join(there)}"
        return ""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        kinds = [kind for kind in ("path", "dataset", "generator") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            said = f"has {' and '.join(kinds)}" if kinds else "has none of them"
            raise ValueError(f"a source is one of path, dataset and generator; source {self.name!r} {said}")
        strange = {
            "path": ("options", "config", "split", "revision", "streaming"),
            "dataset": ("options",),
            "generator": (
                *("config", "split", "revision", "streaming"),
                *("messages", "prompt", "answer", "images", "id"),
            ),
        }[kinds[0]]
        # Not what was written: a recipe that is dumped, as in a checkpoint's card, has every default in it.
        wrong = [
            field
            for field in strange
            if getattr(self, field) != type(self).model_fields[field].get_default(call_default_factory=True)
        ]
        if wrong:
            raise ValueError(
                f"source {self.name!r} has a {kinds[0]}, which takes no {', no '.join(wrong)}; leave it out"
            )
        if (self.prompt is None) is not (self.answer is None):
            raise ValueError(f"source {self.name!r} names one of prompt and answer; name both columns, or messages")
        if self.prompt is not None and self.messages is not None:
            raise ValueError(f"source {self.name!r} names messages beside prompt and answer; name one or the other")
        if self.prompt is None and self.messages is None and (self.dataset is not None or self.columns):
            named = f"names {' and '.join(self.columns)} alone" if self.columns else "names no columns"
            raise ValueError(f"source {self.name!r} {named}; name messages, or prompt and answer")
        if self.streaming and self.limit is None:
            raise ValueError(f"source {self.name!r} streams, and has no limit; say how many rows are wanted")
        return self


class Data(Part):
    """Which items are drawn, and how they become conversations."""

    seed: int = 0
    """Of draws and orders."""
    strategy: Literal["instance", "dataset"] = "instance"
    """`instance` joins items of different modalities, `dataset` items of one source."""
    items: int = Field(default=2, ge=1, le=64)
    """Items in an instance."""
    turns: Literal["multi", "single"] = "multi"
    """`multi`: a turn for each item; `single`: every content in one message, every answer in one reply."""
    shuffle: bool = True
    """Whether the items of an instance come in any order, or in that of the sources."""
    trained_tokens: int = Field(gt=0)
    """At most so many tokens carry a loss: of answers, and the token that ends each."""
    sources: list[Source] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"sources are told apart by name, and {twice[0]!r} is there twice; rename one")
        if self.strategy == "instance":
            modalities = list(dict.fromkeys(source.modality for source in self.sources))
            if self.items < 2:
                raise ValueError("strategy instance joins items, and items is 1; give items: 2, or strategy: dataset")
            if len(modalities) < self.items:
                raise ValueError(
                    f"strategy instance needs {self.items} modalities for its {self.items} items, and the sources have "
                    f"{len(modalities)} ({', '.join(modalities)}); add sources, lower items, or take strategy: dataset"
                )
            if math.comb(len(modalities), self.items) > _COMBINATIONS:
                raise ValueError(
                    f"{self.items} of {len(modalities)} modalities combine in more than {_COMBINATIONS} ways, too "
                    "many to have each as often; lower items, or take fewer modalities"
                )
        return self


class Train(Part):
    """How a model is trained."""

    method: Literal["lora", "full"] = "lora"
    acts_on: Literal["all", "answer"] = "all"
    """Rows an adapter changes: all, or those after the context: the question and the reply."""
    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    modules: list[Text] = Field(
        default=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], min_length=1
    )
    """Linear layers that get an adapter."""
    learning_rate: float = Field(default=5.0e-4, gt=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    items_per_step: int = Field(default=16, ge=1)
    """Items, not instances: every strategy takes the same steps."""
    instances_per_forward: int = Field(default=8, ge=1)
    """What is in memory at once; gradients are accumulated over the rest of a step."""
    seed: int = 0
    """Of the adapter's weights, dropout, and the order of instances."""
    precision: Literal["bf16", "fp32"] = "bf16"
    save_steps: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.method == "full" and self.acts_on == "answer":
            raise ValueError("method full changes the weights for every row; give acts_on: all, or method: lora")
        return self


class Recipe(Part):
    """Everything that decides what a fine-tuned model is. The same recipe and sources give the same data."""

    name: Name
    base: Text
    """A name of `xmguard models list`, or a folder; relative to the recipe if there is one."""
    license: Text
    """Of the checkpoint."""
    data: Data
    train: Train = Train()

    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.train.items_per_step % self.data.items:
            raise ValueError(
                f"train.items_per_step ({self.train.items_per_step}) is no multiple of data.items ({self.data.items}), "
                "so that a step holds no whole number of instances; change one"
            )
        step = self.instances_per_step
        if step > self.train.instances_per_forward and step % self.train.instances_per_forward:
            raise ValueError(
                f"a step's {step} instances cannot be accumulated from forwards of train.instances_per_forward "
                f"({self.train.instances_per_forward}); give one that divides {step}"
            )
        return self

    @classmethod
    def read(cls, path: str | Path, changes: Sequence[str] = ()) -> Recipe:
        """Read a recipe.

        Args:
            path: a YAML file.
            changes: `data.strategy=dataset` and so on: dotted names, `sources.0` for the first of a list, YAML values.

        Raises:
            InvalidRequest: with every field that is wrong.
            XmguardError: the file cannot be read.
        """
        file = Path(path)
        content = strict.read(file, "recipe", changes)
        return cls.parse(content, file.resolve().parent)

    @classmethod
    def parse(cls, content: Mapping[str, Any], folder: Path) -> Recipe:
        """A recipe from its fields; `folder` is where relative paths begin.

        Raises:
            InvalidRequest: with every field that is wrong.
        """
        try:
            recipe = cls.model_validate(content)
        except ValidationError as error:
            raise InvalidRequest([_violation(each) for each in error.errors()]) from error
        recipe._folder = folder
        return recipe

    @property
    def folder(self) -> Path:
        """Where relative paths begin."""
        return self._folder

    @property
    def base_model(self) -> str:
        """The base as the model loader takes it: the folder beside the recipe if there is one, else the name."""
        beside = self.folder / Path(self.base).expanduser()
        return str(beside) if "/" in self.base and beside.is_dir() else self.base

    @property
    def instances_per_step(self) -> int:
        """Instances that an optimizer step holds."""
        return self.train.items_per_step // self.data.items

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe with its defaults, changes included."""
        return _digest(self.model_dump(mode="json"))

    @property
    def data_digest(self) -> str:
        """SHA-256 of what decides the data: the base, whose tokens are counted, and `data`."""
        return _digest(self.model_dump(mode="json", include={"base", "data"}))


def _digest(content: Any) -> str:
    written = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()


def _violation(error: Any) -> FieldViolation:
    """What pydantic found, in our words where its own do not say what to do."""
    *inside, last = error["loc"] or ("recipe",)
    field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error["loc"]).lstrip(".")
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        model: Any = Recipe
        for step in inside:
            if isinstance(step, str):
                model = {"data": Data, "sources": Source, "train": Train}[step]
        close = difflib.get_close_matches(str(last), model.model_fields, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"its fields are {', '.join(model.model_fields)}"
        message = f"is no field of a recipe; {hint}"
    elif error["type"] == "missing":
        message = "is missing, and has no default"
    elif error["type"] == "string_type":
        message = f"is {error['input']!r}, and has to be text; put it in quotes"
    elif error["type"] != "value_error":
        message = f"is {error['input']!r}; {message[:1].lower()}{message[1:]}"
    return FieldViolation(field or "recipe", message)
