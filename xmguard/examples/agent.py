"""An agent that reads before it acts, and asks xmguard whether what it has read agrees with itself.

    xmguard serve
    python -m xmguard.examples.agent --server 127.0.0.1:50051

The loop is the point: every action rests on a question, every question on sources from several places, and `Check`
comes between reading and acting. Only a verdict that says CONSISTENT lets the agent act. A conflict, a source that
does not answer, a check that could not be made and a server that cannot be reached all lead to a person, each with
its own words.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from xmguard import Decision, Span, XmguardError
from xmguard.client import DEFAULT_ADDRESS, Client


@dataclass(frozen=True)
class Task:
    """Something to do, what has to be known for it, and what was read about that."""

    action: str
    question: str
    sources: Sequence[Span]


@dataclass(frozen=True)
class Outcome:
    """What became of a task."""

    task: Task
    acted: bool
    why: str


def read() -> Iterator[Task]:
    """What the agent found today; a real one would search, open pages and look at pictures here."""
    yield Task(
        "reserve the ferry to Ransey",
        "What time does the ferry to Ransey leave?",
        (
            Span(text="Passengers should be at pier two early: the ferry to Ransey leaves at 8:15.", source="leaflet"),
            Span(text="A notice at the harbour says that the ferry to Ransey leaves at 9:40.", source="harbour"),
        ),
    )
    yield Task(
        "put the museum into the calendar",
        "On which day is the museum closed?",
        (
            Span(text="The museum is open all week except Monday, when it is closed.", source="museum"),
            Span(text="Visitors should know that the museum is closed on Monday.", source="travel guide"),
        ),
    )


def run(tasks: Iterator[Task], guard: Client, act: Callable[[Task], None]) -> Iterator[Outcome]:
    """Check every task, and act on those whose sources agree."""
    for task in tasks:
        try:
            verdict = guard.check(question=task.question, spans=task.sources).verdict
        except XmguardError as error:
            # Not checked is not safe: the agent waits, and says which request the server's log has it under.
            yield Outcome(task, False, f"could not be checked ({error.reason.value}): {error}")
            continue
        if verdict.decision is Decision.CONSISTENT:
            act(task)
            yield Outcome(task, True, verdict.reason)
        else:
            yield Outcome(task, False, f"{verdict.decision.name}: {verdict.reason}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the loop once over the tasks above."""
    parser = argparse.ArgumentParser(description="An agent that checks its sources before it acts.")
    parser.add_argument("--server", default=DEFAULT_ADDRESS, metavar="HOST:PORT", help="a running `xmguard serve`")
    server = parser.parse_args(arguments).server
    with Client(server) as guard:
        for outcome in run(read(), guard, lambda task: print(f"doing: {task.action}")):
            if not outcome.acted:
                print(f"asking a person about: {outcome.task.action}")
            print(f"  {outcome.why}")


if __name__ == "__main__":
    main()
