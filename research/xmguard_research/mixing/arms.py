"""An experiment: a stage that all arms begin from, arms that share one training but for what sets them apart, seeds.

One YAML file, read strictly. Opens no source and loads no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from xmguard.errors import FieldViolation, InvalidRequest
from xmguard_research.mixing import strict
from xmguard_research.mixing.posing import Wanted
from xmguard_research.mixing.recipe import Name, Recipe, Text
from xmguard_research.mixing.strict import Part, put

NONE, UNTOUCHED, STAGE = "none", "untouched", "stage"
"""Arms that are not trained: the stage as it is, the base before it. And the name of what all arms begin from."""
AT_STAGE = "./stage/model"
"""Base of the arms' recipes, relative to the experiment's folder."""


APART = ("data.strategy", "data.items", "data.turns", "data.shuffle")
"""What may set arms apart: how the same items are put together, and nothing of how a model is trained on them."""


class Evaluation(Part):
    """What every checkpoint is asked of one suite."""

    suite: Literal["clqa", "cmqa"]
    variants: list[Text] = Field(min_length=1)
    items: int = Field(default=8, ge=0)
    """Topics that conflicts and controls are made of."""
    questions: int = Field(default=16, ge=0)
    """Topics of questions with one answer."""
    prompts: list[Literal["standard", "instructed", "explicit"]] = Field(
        default=["standard", "instructed", "explicit"], min_length=1
    )
    size: Literal["short", "long"] = "short"
    kinds: list[Text] = Field(default_factory=list)
    style: Text = "noto"
    seed: int | None = None

    @property
    def wanted(self) -> Wanted:
        """The same as a value."""
        return Wanted(
            self.suite,
            tuple(self.variants),
            self.items,
            self.questions,
            tuple(self.prompts),
            self.size,
            tuple(self.kinds),
            self.style,
            self.seed,
        )


class Experiment(Part):
    """Everything that decides what is trained and asked."""

    name: Name
    title: Text
    """What is compared, in words, for the report."""
    base: Text
    """A name of `xmguard models list`, or a folder."""
    license: Text
    """Of the checkpoints."""
    stage: dict[str, Any]
    """`data` and `train` of a recipe: what every arm begins from, with conflicts within one language or modality."""
    training: dict[str, Any]
    """`data` and `train` that the arms share; holds no conflict."""
    arms: dict[Name, dict[str, Any]] = Field(min_length=1)
    """What sets an arm apart: some of `APART` and their values."""
    seeds: list[int] = Field(min_length=1)
    """Of the draw of items, their order, and training; one checkpoint each, of every arm."""
    compare: list[tuple[Name, Name]] = Field(default_factory=list)
    """Pairs of arms: the first minus the second."""
    figures: list[Name] = Field(default_factory=list)
    """Arms in the figures, in their order; empty for all that are trained, and `none`."""
    untouched: bool = False
    """Whether the base before the stage is evaluated too."""
    evaluation: list[Evaluation] = Field(min_length=1)
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """In which checkpoints are evaluated."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if taken := {NONE, UNTOUCHED, STAGE} & set(self.arms):
            raise ValueError(f"{sorted(taken)[0]!r} is the name of what is not an arm that is trained; rename it")
        known = {*self.arms, NONE, *([UNTOUCHED] if self.untouched else [])}
        named = [*(name for pair in self.compare for name in pair), *self.figures]
        if unknown := [name for name in named if name not in known]:
            raise ValueError(f"{unknown[0]!r} is no arm; there are {', '.join(sorted(known))}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed is there twice")
        suites = [one.suite for one in self.evaluation]
        if twice := [suite for suite in suites if suites.count(suite) > 1]:
            raise ValueError(
                f"evaluation has {twice[0]} twice, whose responses would be counted together; give a suite one entry"
            )
        return self

    @classmethod
    def read(cls, path: Path, changes: Sequence[str] = ()) -> Experiment:
        """Read an experiment.

        Args:
            path: a YAML file.
            changes: `training.data.trained_tokens=1000` and so on, as `Recipe.read` takes them.

        Raises:
            InvalidRequest: with every field that is wrong.
            XmguardError: the file cannot be read.
        """
        return cls.parse(strict.read(path, "experiment", changes))

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Experiment:
        """An experiment from its fields; its recipes are read too.

        Raises:
            InvalidRequest: with every field that is wrong.
        """
        try:
            made = cls.model_validate(content)
        except ValidationError as error:
            raise InvalidRequest(
                [
                    FieldViolation(
                        ".".join(map(str, one["loc"])) or "experiment", one["msg"].removeprefix("Value error, ")
                    )
                    for one in error.errors()
                ]
            ) from error
        if made.stage_recipe(Path()).data.strategy == "instance":
            raise InvalidRequest.field(
                "stage.data.strategy", "is instance, which is what arms are to show; give strategy: dataset and items"
            )
        for arm, own in made.arms.items():
            for seed in made.seeds:
                made.recipe(arm, seed, Path())
            if strange := [name for name in own if name not in APART]:
                raise InvalidRequest.field(
                    f"arms.{arm}.{strange[0]}",
                    "is nothing that arms may differ in, or more than mixing is compared; put it into training, and "
                    f"let arms differ in {', '.join(APART)}",
                )
        return made

    def stage_recipe(self, folder: Path) -> Recipe:
        """The recipe of what all arms begin from.

        Raises:
            InvalidRequest: it is none; fields are named.
        """
        content = {"name": f"{self.name}-{STAGE}", "base": self.base, "license": self.license, **deepcopy(self.stage)}
        return _recipe(content, folder, STAGE)

    def recipe(self, arm: str, seed: int, folder: Path, *, base: str = AT_STAGE) -> Recipe:
        """The recipe of one arm and seed.

        Raises:
            InvalidRequest: it is none; fields are named.
        """
        content = {
            "name": f"{self.name}-{arm}-{seed}",
            "base": base,
            "license": self.license,
            **deepcopy(self.training),
        }
        for name, value in {**self.arms[arm], "data.seed": seed, "train.seed": seed}.items():
            try:
                put(content, name, value)
            except KeyError as error:
                raise InvalidRequest.field(f"arms.{arm}", error.args[0]) from error
        return _recipe(content, folder, f"arms.{arm}")

    @property
    def mixing(self) -> list[str]:
        """Arms that mix within an instance."""
        return [arm for arm in self.arms if self.recipe(arm, 0, Path()).data.strategy == "instance"]

    @property
    def trained(self) -> dict[str, Any]:
        """What decides the checkpoints: an experiment that differs in it is another one. Arms are apart."""
        return self.model_dump(mode="json", include={"name", "base", "license", "stage", "training"})


def _recipe(content: Mapping[str, Any], folder: Path, where: str) -> Recipe:
    try:
        return Recipe.parse(content, folder)
    except InvalidRequest as error:
        raise InvalidRequest(
            [FieldViolation(f"{where}: {one.field}", one.description) for one in error.violations]
        ) from error
