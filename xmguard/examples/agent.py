"""An agent that reads before it acts, and asks xmguard whether what it has read agrees with itself.

    xmguard serve
    python -m xmguard.examples.agent --server 127.0.0.1:50051

The loop is the point: every action rests on a question, every question on sources from several places, and `Check`
comes between reading and acting. Only a verdict that says CONSISTENT lets the agent act. A conflict, a source that
does not answer, a check that could not be made and a server that cannot be reached all lead to a person, each with
its own words. Where not one check could be made, the exit status says so too.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from xmguard import Decision, Span, XmguardError
from xmguard.client import DEFAULT_ADDRESS, Client, Tls, read_token

FILES = {
    "token-file": "file with the token that the server knows you by",
    "tls-ca": "encrypt, and trust the certificates that these sign (PEM)",
    "tls-cert": "your own certificate (PEM), where the server asks for one; with --tls-key",
    "tls-key": "key of --tls-cert (PEM)",
}
"""The flags that name one, with what is in it."""


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
    checked: bool
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
            yield Outcome(task, False, False, f"could not be checked ({error.reason.value}): {error}")
            continue
        if verdict.decision is Decision.CONSISTENT:
            act(task)
            yield Outcome(task, True, True, verdict.reason)
        else:
            yield Outcome(task, True, False, f"{verdict.decision.name}: {verdict.reason}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the loop once over the tasks above: 0, or 1 where not one of them could be checked."""
    parser = argparse.ArgumentParser(description="An agent that checks its sources before it acts.")
    parser.add_argument("--server", default=DEFAULT_ADDRESS, metavar="HOST:PORT", help="a running `xmguard serve`")
    parser.add_argument("--tls", action="store_true", help="encrypt, and trust the certificates everybody trusts")
    # A file may also be named by a variable, the same one as for the commands.
    for flag, said in FILES.items():
        name = f"XMGUARD_{flag.replace('-', '_').upper()}"
        parser.add_argument(f"--{flag}", default=os.environ.get(name), metavar="FILE", help=f"{said} [{name}]")
    given = parser.parse_args(arguments)
    tls = None
    if given.tls or given.tls_ca or given.tls_cert or given.tls_key:
        tls = Tls(ca=given.tls_ca, certificate=given.tls_cert, key=given.tls_key)
    try:
        guard = Client(given.server, token=read_token(given.token_file) if given.token_file else "", tls=tls)
    except XmguardError as error:
        parser.error(str(error))
    checked = 0
    with guard:
        for outcome in run(read(), guard, lambda task: print(f"doing: {task.action}")):
            checked += outcome.checked
            if not outcome.acted:
                print(f"asking a person about: {outcome.task.action}")
            print(f"  {outcome.why}")
    return 0 if checked else 1


if __name__ == "__main__":
    sys.exit(main())
