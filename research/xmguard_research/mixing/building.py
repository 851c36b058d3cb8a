"""Makes the data of a recipe: a folder with instances, held-out instances, pictures and a manifest.

The folder appears when it is whole, or not at all. Trains nothing.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks import lines
from xmguard_research.mixing import sources
from xmguard_research.mixing.counting import TokenCounter
from xmguard_research.mixing.digest import sha256 as of_files
from xmguard_research.mixing.folders import told, whole
from xmguard_research.mixing.instances import DRAWING, Drawn, Instance, draw, hold_out, mix, topic
from xmguard_research.mixing.items import Image, Item
from xmguard_research.mixing.recipe import Recipe

FORMAT = "xmguard mixing data 1"
INSTANCES, VALIDATION, MANIFEST, IMAGES = "instances.jsonl", "validation.jsonl", "manifest.json", "images"

Tell = Callable[[str, int, int], None]
"""Told a step in words, how much of it is done, and how much there is; 0 where that is not known."""


@dataclass(frozen=True)
class Plan:
    """Everything that is to be written."""

    recipe: Recipe
    sources: tuple[sources.Read, ...]
    drawn: dict[str, Drawn]
    held: dict[str, list[Item]]
    instances: tuple[Instance, ...]
    validation: tuple[Instance, ...]
    counter: TokenCounter


@dataclass(frozen=True)
class Built:
    """A data folder."""

    folder: Path
    manifest: dict[str, Any]
    unchanged: bool
    """It was there already, made of the same recipe and sources."""


def plan(
    recipe: Recipe, *, generators: sources.Generators | None = None, tell: Tell = lambda step, done, of: None
) -> Plan:
    """Read the sources, draw, and mix; writes nothing.

    Args:
        recipe: says all.
        generators: by name; None takes ours.
        tell: told the steps.

    Raises:
        XmguardError: what a source, the base or the budget has wrong.
    """
    read = sources.read(recipe, generators, lambda step: tell(step, 0, 0))
    return mixed(recipe, read, counter_of(recipe, read, tell), tell)


def build(
    recipe: Recipe,
    out: Path,
    *,
    force: bool = False,
    begun: bool = False,
    generators: sources.Generators | None = None,
    tell: Tell = lambda step, done, of: None,
) -> Built:
    """Make the data of a recipe, unless `out` holds it.

    Args:
        recipe: says all.
        out: folder that is made.
        force: replace data of another recipe or of other sources.
        begun: take data that an earlier version drew as it is: a run goes on with what it began with.
        generators: by name; None takes ours.
        tell: told the steps.

    Raises:
        XmguardError: what a source, the base or the budget has wrong; `out` holds something else, or does so by now; it
            cannot be written.
    """
    there = _manifest(out)
    if (there is None or force) and Path.cwd().is_relative_to(out.resolve()):
        raise InvalidRequest.field("--out", f"{out} is where the command runs; name a folder in it, or another")
    if there is None and _holds_something(out):
        raise InvalidRequest.field("--out", f"{out} is there and holds no data of ours; give a new folder")
    read = sources.read(recipe, generators, lambda step: tell(step, 0, 0))
    counter = counter_of(recipe, read, tell)
    if there is not None and not force:
        differs = _difference(there, recipe, read, counter, begun=begun) or altered(there, out)
        if not differs:
            return Built(out, there, unchanged=True)
        raise InvalidRequest.field("--out", f"{out} holds other data: {differs}; --force replaces it, or give another")
    planned = mixed(recipe, read, counter, tell)
    with told(out), whole(out) as work:
        written = _write(planned, work, tell)
        if _manifest(out) != there or (there is None and _holds_something(out)):
            raise InvalidRequest.field("--out", f"{out} was made by another process meanwhile; see what it holds")
    return Built(out, written, unchanged=False)


def commit() -> str | None:
    """Commit of the checkout this package runs from, with `-dirty` where files differ; None outside of one."""
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(here.parent), *arguments], capture_output=True, text=True, check=True, timeout=30
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    # A virtual environment may lie in somebody else's checkout.
    if git("ls-files", "--error-unmatch", here.name) is None:
        return None
    return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def counter_of(recipe: Recipe, read: Sequence[sources.Read], tell: Tell = lambda step, done, of: None) -> TokenCounter:
    """What counts the tokens of a recipe's base.

    Raises:
        XmguardError: what the base has wrong.
    """
    tell("reading the base's tokenizer", 0, 0)
    return TokenCounter(recipe.base_model, pictures=any(item.pictures for each in read for item in each.items))


def mixed(
    recipe: Recipe, read: Sequence[sources.Read], counter: TokenCounter, tell: Tell = lambda step, done, of: None
) -> Plan:
    """As `plan`, of sources that are read already, counted as `counter` does."""
    data = recipe.data
    kept, held = hold_out({each.source.name: each.items for each in read}, data.seed)
    spent = 0

    def tokens(item: Item) -> int:
        nonlocal spent
        cost = counter.item(item)
        spent += cost
        tell("drawing", min(spent, data.trained_tokens), data.trained_tokens)
        return cost

    weights = {each.source.name: each.source.weight for each in read}
    drawn = draw(kept, weights, tokens, data.trained_tokens, data.seed)
    mixed = [
        mix(
            items,
            strategy=data.strategy,
            size=data.items,
            turns=data.turns,
            shuffle=data.shuffle,
            seed=data.seed,
            name=name,
        )
        for name, items in (("train", {name: some.items for name, some in drawn.items()}), ("validation", held))
    ]
    return Plan(recipe, tuple(read), drawn, held, tuple(mixed[0]), tuple(mixed[1]), counter)


def _write(planned: Plan, folder: Path, tell: Tell) -> dict[str, Any]:
    copied: dict[str, str] = {}

    def written(instances: Sequence[Instance], what: str) -> Iterator[bytes]:
        for done, one in enumerate(instances, start=1):
            yield lines.line(_row(one, folder, copied))
            tell(f"writing {what}", done, len(instances))

    manifest = describe(planned, tell)
    files = {
        INSTANCES: lines.write(written(planned.instances, "instances"), folder / INSTANCES)[1],
        VALIDATION: lines.write(written(planned.validation, "held-out instances"), folder / VALIDATION)[1],
    }
    manifest |= {"files": files | {name: digest for digest, name in copied.items()}, "git": commit()}
    (folder / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return manifest


def describe(planned: Plan, tell: Tell = lambda step, done, of: None) -> dict[str, Any]:
    """The manifest, without what only a written folder has.

    Raises:
        InvalidRequest: a picture that is wanted is none, or damaged.
    """
    recipe, data = planned.recipe, planned.recipe.data
    trained = read = longest = 0
    for done, one in enumerate(planned.instances, start=1):
        length = planned.counter.read(one.messages)
        trained, read, longest = trained + planned.counter.trained(one.messages), read + length, max(longest, length)
        tell("counting tokens", done, len(planned.instances))
    sizes = Counter(len(one.items) for one in planned.instances)
    together = Counter("+".join(sorted(item.modality for item in one.items)) for one in planned.instances)
    return {
        "format": FORMAT,
        "drawing": DRAWING,
        "name": recipe.name,
        "recipe_sha256": recipe.digest,
        "data_sha256": recipe.data_digest,
        "base": recipe.base,
        "tokenizer_sha256": planned.counter.sha256,
        "seed": data.seed,
        "strategy": data.strategy,
        "items_per_instance": data.items,
        "turns": data.turns,
        "sources": [_described(planned, each) for each in planned.sources],
        "instances": len(planned.instances),
        "validation_instances": len(planned.validation),
        "shorter_instances": sum(count for size, count in sizes.items() if size < data.items),
        "combinations": dict(sorted(together.items())),
        "items": sum(len(some.items) for some in planned.drawn.values()),
        "drawn_tokens": sum(some.tokens for some in planned.drawn.values()),
        "trained_tokens": trained,
        "read_tokens": read,
        "longest_instance": longest,
    }


def _described(planned: Plan, read: sources.Read) -> dict[str, Any]:
    source, drawn = read.source, planned.drawn[read.source.name]
    where = source.model_dump(mode="json", exclude_defaults=True, exclude={"name", "modality", "license"})
    return {
        "name": source.name,
        "modality": source.modality,
        "from": where,
        "license": read.license,
        "sha256": read.sha256,
        "items": len(read.items),
        "topics": len({topic(item) for item in read.items}),
        # Fewer than topics where a generator ran out of them and asks again with other values.
        "questions": len({str(item.meta["question"]) for item in read.items if "question" in item.meta}),
        "held_out": len(planned.held[source.name]),
        "left_out": len(read.items) - len(planned.held[source.name]) - drawn.available,
        "drawn": len(drawn.items),
        "passes": round(drawn.passes, 3),
        "trained_tokens": drawn.tokens,
    }


def _row(instance: Instance, folder: Path, copied: dict[str, str]) -> dict[str, Any]:
    return {
        "id": instance.id,
        "items": [{"id": item.id, "source": item.source, "modality": item.modality} for item in instance.items],
        "messages": [
            {"role": message.role, "content": [_part(part, folder, copied) for part in message.content]}
            for message in instance.messages
        ],
    }


def _part(part: str | Image, folder: Path, copied: dict[str, str]) -> dict[str, str]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    seen = part.seen()
    digest = sha256(seen.content).hexdigest()
    if digest not in copied:
        (folder / IMAGES).mkdir(exist_ok=True)
        copied[digest] = f"{IMAGES}/{digest}{seen.suffix}"
        (folder / copied[digest]).write_bytes(seen.content)
    return {"type": "image", "path": copied[digest]}


def _manifest(folder: Path) -> dict[str, Any] | None:
    """Of a data folder; None where there is none."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def _holds_something(out: Path) -> bool:
    return out.exists() and (not out.is_dir() or any(out.iterdir()))


def _difference(
    there: dict[str, Any], recipe: Recipe, read: Iterable[sources.Read], counter: TokenCounter, *, begun: bool
) -> str:
    """In what a manifest is of another recipe, other sources, another tokenizer or drawing; empty if in nothing."""
    if there.get("drawing") != DRAWING and not begun:
        return "another version of xmguard drew it, and would draw other instances"
    if there["data_sha256"] != recipe.data_digest:
        return "its recipe was another"
    before = {source["name"]: source["sha256"] for source in there["sources"]}
    if there["tokenizer_sha256"] != counter.sha256:
        return "the base's tokenizer was another"
    changed = [each.source.name for each in read if before[each.source.name] != each.sha256]
    return f"source {', '.join(changed)} held other items" if changed else ""


def altered(there: Mapping[str, Any], folder: Path) -> str:
    """Which file of a folder is not as its manifest says any more; empty if all are."""
    for name, digest in there["files"].items():
        file = folder / name
        if not file.is_file() or of_files(file) != digest:
            return f"{name} was altered since"
    return ""
