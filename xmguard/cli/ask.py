"""The commands that put a question: `ask` from flags, `answer` and `check` from a JSON file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from xmguard.cli import render
from xmguard.cli.access import Access, Server, TlsCa, TlsCert, TlsKey, TlsOption, TokenFile
from xmguard.cli.connection import connect
from xmguard.cli.flags import parse_numbers, parse_spans, read_text
from xmguard.cli.terminal import output, print_json, printable, progress
from xmguard.models.resolve import WITHOUT_A_NAME
from xmguard.plugins import load_plugins
from xmguard.request import AnswerRequest, Decoding, Detail, OnConflict, OnError, Prompt, Rebalance, Scope
from xmguard.response import AnswerResponse, CheckResponse, ConflictVerdict, Decision, Delta, Done, Event, Started

EXIT_CONFLICT = 3
EXIT_UNDETERMINED = 4

Json = Annotated[bool, typer.Option("--json", help="Print the response as proto3 JSON.")]
Model = Annotated[
    str,
    typer.Option(help=f"A name from `xmguard models list`, a folder, or owner/name on the hub. {WITHOUT_A_NAME}"),
]
ProfileFile = Annotated[
    Path | None,
    typer.Option("--profile", metavar="FILE", help="A profile in place of the one that comes with the model."),
]
RequestFile = Annotated[str, typer.Argument(metavar="FILE", help="An AnswerRequest as proto3 JSON; - reads stdin.")]


def ask(
    question: Annotated[str, typer.Argument(help="The question to answer from the spans.")],
    span: Annotated[
        list[str] | None,
        typer.Option(metavar="LANG:TEXT", help='A source, in order, for example en:"...". :TEXT detects the language.'),
    ] = None,
    span_file: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[LANG:]PATH",
            help="A source from a file: text (en:notice.txt), or a picture or table (photo.png, sums.csv) where a "
            "plugin installed here takes its media type; the first bytes say which, or else the name. LANG: or : makes "
            "text of what is UTF-8. Files come after every --span.",
        ),
    ] = None,
    model: Model = "",
    policy: Annotated[
        str,
        typer.Option(
            help="Rebalancing policy; `xmguard plugins` lists them with their parameters. Without it, --bias or "
            "--epsilon means fixed, and anything else the policy of the model's profile."
        ),
    ] = "",
    bias: Annotated[
        list[str] | None,
        typer.Option(metavar="SPAN=NATS", help="Policy fixed: epsilon for one span; s1=-inf removes it."),
    ] = None,
    epsilon: Annotated[float | None, typer.Option(help="Short for --parameter epsilon=NATS.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="A parameter of the policy: share=0.2, or share.s2=0.3 where it is given per span. Repeatable.",
        ),
    ] = None,
    scope: Annotated[
        Literal["readers", "all", "generated"] | None, typer.Option(help="Which positions read with the bias.")
    ] = None,
    prompt: Annotated[
        Literal["standard", "instructed", "explicit"] | None, typer.Option(help="How the question is put.")
    ] = None,
    on_conflict: Annotated[
        Literal["report", "abstain", "plain"] | None, typer.Option(help="The answer when the sources disagree.")
    ] = None,
    on_error: Annotated[
        Literal["closed", "open"] | None, typer.Option(help="Whether to answer when no verdict could be established.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=0, help="At most this many new tokens; 0 is the default.")] = 0,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    seed: Annotated[int | None, typer.Option(min=0, help="Makes sampling repeatable.")] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Also show contributions layer by layer.")] = False,
    unbiased: Annotated[bool, typer.Option("--unbiased", help="Also answer without the bias.")] = False,
    profile: ProfileFile = None,
    server: Server = "",
    token_file: TokenFile = None,
    tls: TlsOption = False,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    as_json: Json = False,
) -> None:
    """Put a question over sources given as flags.

    Sources are named s1, s2, ... in their order; a picture and a text:
    --span-file photo.png --span en:"The rider is surfing."
    Ways to steer:
    --bias s2=1.5 --bias s1=-inf
    --epsilon 1
    --policy target --parameter share.s2=0.2
    --policy floor --parameter minimum=0.5 --parameter cap=1
    --policy soften
    """
    biases = parse_numbers("--bias", bias or [])
    short = [] if epsilon is None else [f"epsilon={epsilon}"]
    parameters = parse_numbers("--parameter", [*short, *(parameter or [])])
    taken = {kind for modality in load_plugins().modalities for kind in modality.media_types} if span_file else ()
    request = AnswerRequest(
        model=model,
        spans=parse_spans(span or [], span_file or [], taken),
        question=question,
        prompt=Prompt[prompt.upper()] if prompt else Prompt.UNSPECIFIED,
        rebalance=Rebalance(
            policy=policy or ("fixed" if biases or epsilon is not None else ""),
            parameters=parameters,
            bias=biases,
            scope=Scope[scope.upper()] if scope else Scope.UNSPECIFIED,
        ),
        on_conflict=OnConflict[on_conflict.upper()] if on_conflict else OnConflict.UNSPECIFIED,
        on_error=OnError[on_error.upper()] if on_error else OnError.UNSPECIFIED,
        decoding=Decoding(max_tokens=max_tokens, temperature=temperature, seed=seed),
        detail=Detail(layers=layers, alone_answers=True, unbiased_answer=unbiased),
    )
    _answer(request, Access(server, token_file, tls, tls_ca, tls_cert, tls_key), as_json, profile)


def answer(
    file: RequestFile,
    model: Model = "",
    profile: ProfileFile = None,
    server: Server = "",
    token_file: TokenFile = None,
    tls: TlsOption = False,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    as_json: Json = False,
) -> None:
    """Put the question of a JSON file; --model overrides the file's."""
    _answer(read_request(file, model), Access(server, token_file, tls, tls_ca, tls_cert, tls_key), as_json, profile)


def check(
    file: RequestFile,
    model: Model = "",
    profile: ProfileFile = None,
    server: Server = "",
    token_file: TokenFile = None,
    tls: TlsOption = False,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    as_json: Json = False,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code",
            help=f"Exit {EXIT_CONFLICT} on CONFLICT and {EXIT_UNDETERMINED} on UNDETERMINED, for scripts.",
        ),
    ] = False,
) -> None:
    """Say whether the sources of a JSON file contradict each other, without the long answer."""
    from xmguard import wire

    access = Access(server, token_file, tls, tls_ca, tls_cert, tls_key)
    with connect(access, read_request(file, model), profile) as (answerer, request), progress("checking"):
        response = answerer.check(request)
    if as_json:
        print_json(wire.to_json(response))
    else:
        _show_check(response, request)
    if exit_code and response.verdict.decision is not Decision.CONSISTENT:
        # Whatever is neither consistent nor a conflict was not determined.
        raise typer.Exit(EXIT_CONFLICT if response.verdict.decision is Decision.CONFLICT else EXIT_UNDETERMINED)


def read_request(path: str, model: str) -> AnswerRequest:
    """The request of a JSON file or of stdin; a `model` that is not empty replaces the file's.

    Raises:
        XmguardError: it cannot be read, or is no AnswerRequest.
    """
    from xmguard import wire

    request = wire.from_json(AnswerRequest, read_text(path))
    return replace(request, model=model) if model else request


def _answer(request: AnswerRequest, access: Access, as_json: bool, profile: Path | None) -> None:
    with connect(access, request, profile) as (answerer, put):
        if as_json:
            from xmguard import wire

            with progress("answering"):
                response = answerer.answer(put)
            print_json(wire.to_json(response))
        else:
            show_stream(answerer.stream(put), put)


def show_stream(events: Iterator[Event], request: AnswerRequest) -> Done:
    """Show a streamed answer while it comes: the verdict, then the words, then what was measured and done.

    Raises:
        RuntimeError: the stream ended without its last event; it breaks the contract.
    """
    console = output()
    # The spinner must be gone before the first word, and also when the stream fails.
    with ExitStack() as waiting:
        step = waiting.enter_context(progress("reading the sources"))
        for event in events:
            if isinstance(event, Started):
                step("reading each source alone")
            elif isinstance(event, ConflictVerdict):
                waiting.close()
                console.print(render.verdict_panel(event))
            elif isinstance(event, Delta):
                console.print(Text(printable(event.text)), end="", soft_wrap=True)
            else:
                console.print("\n")
                _show_end(event.response, request)
                return event
    raise RuntimeError("the stream of the answer ended without a Done event")


def show_response(response: AnswerResponse, request: AnswerRequest) -> None:
    """Show a finished answer: what `show_stream` leaves on the screen."""
    console = output()
    console.print(render.verdict_panel(response.verdict))
    console.print(Text(printable(response.answer) + "\n"), soft_wrap=True)
    _show_end(response, request)


def _show_end(response: AnswerResponse, request: AnswerRequest) -> None:
    _show_spans(response, request)
    _show_lines(
        render.closing_lines(response.usage, response.warnings, response.finish_reason, response.unbiased_answer)
    )


def _show_check(response: CheckResponse, request: AnswerRequest) -> None:
    output().print(render.verdict_panel(response.verdict))
    _show_spans(response, request)
    _show_lines(render.closing_lines(response.usage, response.warnings))


def _show_spans(response: AnswerResponse | CheckResponse, request: AnswerRequest) -> None:
    # Only a finished response holds what each span answers by itself, so nothing of this is shown before.
    console = output()
    steered = response.rebalancing.applied
    console.print(render.spans_table(response.spans, [span.source for span in request.spans], steered=steered))
    if request.detail.layers:
        _show_lines(render.layers_lines(response.spans))
    console.print(render.imbalance_line(response.imbalance, steered=steered))
    console.print(render.rebalancing_line(response.rebalancing))


def _show_lines(lines: Iterable[Text]) -> None:
    console = output()
    for line in lines:
        console.print(line)
