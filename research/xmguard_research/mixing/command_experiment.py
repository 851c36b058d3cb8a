"""`xmguard mix experiment` and `xmguard mix report`: arms and seeds from one file to the figures.

Heavy modules are imported when they run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from xmguard.cli.terminal import errors, output, printable
from xmguard_research.mixing.packages import needed

if TYPE_CHECKING:
    from xmguard_research.mixing.arms import Experiment

TOKENS_A_SECOND = 350
"""Of SmolLM2-135M on two cores, for what `--plan` says; less than `throughput` measures: runs validate too."""
_FASTER = "--set stage.train.precision=fp32 --set training.train.precision=fp32 --set dtype=float32"
TINY = (
    "stage.data.trained_tokens=400",
    "training.data.trained_tokens=400",
    "seeds=[0]",
    "untouched=false",
    "evaluation.0.items=1",
    "evaluation.0.questions=2",
    "evaluation.0.prompts=[standard]",
)


def experiment(
    file: Annotated[
        Path, typer.Argument(metavar="EXPERIMENT", help="A YAML file, or the name of one that is shipped.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="For everything; the same goes on there.")],
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="stage, an arm, or ARM/SEED; may be repeated.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what there is to do, and do nothing.")] = False,
    tiny: Annotated[bool, typer.Option("--tiny", help="A few items of everything: to see that it runs.")] = False,
    device: Annotated[
        str,
        typer.Option(help="Where checkpoints are asked, for example cpu or cuda:0; trained is where there is a GPU."),
    ] = "cpu",
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="In place of the file's: seeds=[0], ...")
    ] = None,
) -> None:
    """Train the arms of an experiment, evaluate them, and write the report.

    Every arm is trained on the same items, without any conflict, from every
    seed, after a stage that all begin from. What is done already stays.
    """
    with needed():
        from xmguard_research.mixing import experiment as running
        from xmguard_research.mixing.arms import Experiment
        from xmguard_research.mixing.command_train import hush

        read = Experiment.read(shipped(file), [*(TINY if tiny else ()), *(changes or ())])
        if plan:
            _plan(read, out)
            return
        hush()
        console = errors()

        def tell(line: str) -> None:
            console.print(Text(printable(line)), soft_wrap=True)

        running.run(read, out, only or (), tell, device=device)
        _write(read, out)


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of an experiment.")],
) -> None:
    """Write the report of an experiment again: tables, figures 6 and 7, CSV and JSON."""
    with needed():
        from xmguard_research.mixing.experiment import opened

        _write(opened(folder), folder)


def shipped(file: Path) -> Path:
    """The file, or the one of that name beside this module."""
    beside = Path(__file__).parent / "experiments" / f"{file}.yaml"
    return beside if not file.exists() and beside.is_file() else file


def _write(read: Experiment, out: Path) -> None:
    from xmguard_research.mixing.reporting import collect, statements, write

    result = collect(read, out)
    written = write(result, out)
    console = output()
    for line in statements(result):
        console.print(Text(printable(f"- {line}")), soft_wrap=True)
    for path in written:
        console.print(Text(printable(f"wrote {path}")), soft_wrap=True)


def _plan(read: Experiment, out: Path) -> None:
    from xmguard_research.mixing import experiment as running
    from xmguard_research.mixing import tables
    from xmguard_research.mixing.processor import emulation

    running.require_no_conflict(read, out)
    arms = running.planned(read, out)
    running.require_equal(arms)
    head = ("arm", "instances", "items", "trained tokens", "read tokens", "steps", "minutes a seed")
    stage = running.planned_stage(read, out)
    rows = [_row(stage), *(_row(one) for one in arms if one.seed == read.seeds[0])]
    cases = running.asked(read)
    contexts, responses = len(cases), sum(len(one.prompts) for one in cases)
    checkpoints = running.evaluated(read, out)
    done = [one.name for one in checkpoints if running.is_evaluated(one, cases)]
    tokens = stage.read_tokens + sum(one.read_tokens for one in arms)
    lines = [
        tables.markdown([head, *rows]),
        f"{len(checkpoints)} checkpoints, each asked {contexts} contexts with {responses} responses; evaluated "
        f"already: {', '.join(done) or 'none'}",
        f"training all from nothing takes about {tokens / TOKENS_A_SECOND / 60:.0f} minutes at {TOKENS_A_SECOND} "
        "tokens a second",
    ]
    half = "bf16" in (
        read.stage_recipe(out).train.precision,
        read.recipe(next(iter(read.arms)), 0, out).train.precision,
    )
    if (half or read.dtype == "bfloat16") and (slow := emulation(_FASTER)):
        lines.append(slow)
    output().print(Text(printable("\n\n".join(lines))), soft_wrap=True)


def _row(made: Any) -> tuple[str, ...]:
    numbers = (made.instances, made.items, made.trained_tokens, made.read_tokens, made.steps)
    return (made.arm, *map(str, numbers), f"{made.read_tokens / TOKENS_A_SECOND / 60:.1f}")
