"""The `xmguard serve` command: options in, one server out. Imports nothing heavy until it is called.

What keeps it from starting is raised; how an error looks is for the `xmguard` command to say.
"""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from xmguard.cli.engine import (
    BaseUrl,
    Concurrency,
    EngineName,
    EngineOption,
    Experimental,
    TensorParallel,
    engine_options,
    flags_named,
)
from xmguard.errors import InvalidRequest, SetupIncomplete
from xmguard.loading import DEFAULT_ENGINE
from xmguard.models.resolve import WITHOUT_A_NAME
from xmguard.plugins import load_plugins
from xmguard_server.config import ServerConfig, TlsFiles

if TYPE_CHECKING:
    from xmguard.response import ModelInfo
    from xmguard_server.app import Server
    from xmguard_server.trace_context import Tracer

DEFAULTS = ServerConfig()
logger = logging.getLogger(__name__)

GUARD = "xmguard.loading:load_guard"
"""What each worker loads its guard by."""


def serve(
    host: Annotated[
        str,
        typer.Option(help="Address that gRPC listens on; beyond loopback, callers must say who they are (--tokens)."),
    ] = DEFAULTS.host,
    port: Annotated[int, typer.Option(min=0, max=65535, help="gRPC port; 0 takes any free one.")] = DEFAULTS.port,
    model: Annotated[
        str,
        typer.Option(help=f"A model's name (see `xmguard models list`) or a folder with weights. {WITHOUT_A_NAME}"),
    ] = "",
    engine: EngineName = DEFAULT_ENGINE,
    tensor_parallel: TensorParallel = 1,
    concurrency: Concurrency = 0,
    base_url: BaseUrl = "",
    engine_option: EngineOption = None,
    experimental: Experimental = False,
    device: Annotated[str, typer.Option(help="Where the model runs, for example cpu or cuda:0.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, or bfloat16 for half the memory.")] = "float32",
    profile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A profile in place of the one that comes with the model.")
    ] = None,
    model_sha256: Annotated[
        str,
        typer.Option(metavar="HASH", help="Serve only files that hash to this; `xmguard models hash` prints it."),
    ] = "",
    admin_host: Annotated[
        str, typer.Option(help="Address that the admin port listens on; beyond loopback as for --host.")
    ] = DEFAULTS.admin_host,
    admin_port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="HTTP port with /metrics for Prometheus, /healthz and /readyz; 0 takes any free port.",
        ),
    ] = DEFAULTS.admin_port,
    http_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Also serve the OpenAI-compatible API over HTTP on this port of --host; 0 takes any free one.",
            show_default="off",
        ),
    ] = DEFAULTS.http_port,
    ui: Annotated[
        bool, typer.Option("--ui", help="Serve the live page at /ui/ of the admin port: ask, and see what was used.")
    ] = False,
    tokens: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Callers must send a token that has its hash here; `xmguard token new` makes one."
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate chain, PEM, for TLS on every port; with --tls-key.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its private key, PEM, without password.")
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Clients must show a certificate that an authority in this file signed."),
    ] = None,
    closed_health: Annotated[
        bool, typer.Option("--closed-health", help="Health checks need a token too; without it they are open.")
    ] = False,
    insecure_open_bind: Annotated[
        bool,
        typer.Option("--insecure-open-bind", help="Listen beyond loopback although nobody has to say who they are."),
    ] = False,
    log_tracebacks: Annotated[
        bool,
        typer.Option("--log-tracebacks", help="Log the words of errors and of libraries, which may quote requests."),
    ] = False,
    max_queue: Annotated[
        int, typer.Option(min=0, help="Requests that may wait for the model; one more gets RESOURCE_EXHAUSTED.")
    ] = DEFAULTS.max_queue,
    max_queue_cost: Annotated[
        int,
        typer.Option(
            min=1,
            help="Tokens of the requests that wait, each counted with all that may be run for it: prompt, answer, and "
            "what is read for its verdict. One request of more is refused for good.",
        ),
    ] = DEFAULTS.max_queue_cost,
    max_queue_wait: Annotated[
        float,
        typer.Option(
            min=0.01, help="Seconds a request waits at most; who would wait longer is told when to ask again."
        ),
    ] = DEFAULTS.max_queue_wait,
    max_per_caller: Annotated[
        int, typer.Option(min=0, help="Requests of one caller that run or wait, by his credentials; 0 is no limit.")
    ] = DEFAULTS.max_per_caller,
    brownout_from: Annotated[
        float,
        typer.Option(
            min=0,
            help="Share of a limit of the queue from which requests with ON_ERROR_OPEN get no verdict (SKIPPED), so "
            "that more are answered; above 1 is never.",
        ),
    ] = DEFAULTS.brownout_from,
    brownout_until: Annotated[
        float, typer.Option(min=0, help="Share below which they get verdicts again; not above --brownout-from.")
    ] = DEFAULTS.brownout_until,
    default_deadline: Annotated[
        float, typer.Option(min=0.1, help="Seconds that a call may take whose caller sets no deadline.")
    ] = DEFAULTS.default_deadline,
    max_deadline: Annotated[
        float, typer.Option(min=0.1, help="Cap in seconds on the deadlines that callers set.")
    ] = DEFAULTS.max_deadline,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that each load the model; requests are shared out among them.")
    ] = DEFAULTS.workers,
    worker_memory: Annotated[
        str,
        typer.Option(
            metavar="SIZE",
            help="Address space of a worker, such as 12GiB; a request that needs more gets RESOURCE_EXHAUSTED. Without "
            "it there is no limit.",
        ),
    ] = "",
    step_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that one step of the model may take; then its worker is killed.")
    ] = DEFAULTS.step_timeout,
    max_restarts: Annotated[
        int,
        typer.Option(min=0, help="How often in a row a lost worker is started again; after that the server ends."),
    ] = DEFAULTS.max_restarts,
    send_timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that a caller may not read its stream; then the stream is closed.")
    ] = DEFAULTS.send_timeout,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds that requests in flight may take to finish after SIGTERM or Ctrl-C.")
    ] = DEFAULTS.grace,
    otlp_endpoint: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Send traces there, over OTLP and HTTP, such as http://127.0.0.1:4318; needs xmguard\\[tracing]. They "
            "hold numbers, and nothing of a request's texts.",
        ),
    ] = "",
) -> None:
    """Serve a model: answers, verdicts and contributions over gRPC, and over HTTP if asked to.

    Prints where it listens once requests are answered, and with --ui where the live page is on a second line, then runs
    until SIGTERM or Ctrl-C. Health (grpc.health.v1) says NOT_SERVING until then, and reflection lets any gRPC client
    list the service.
    """
    import asyncio

    try:
        from xmguard_server.app import run
        from xmguard_server.logs import log_to_stderr
        from xmguard_server.metrics import Metrics
        from xmguard_server.page.routes import PAGE
        from xmguard_server.ports import address
        from xmguard_server.workers.launching import ProcessLaunch
        from xmguard_server.workers.served import Loading
    except ImportError as error:
        raise SetupIncomplete(f'a package is missing ({error}); run: pip install "xmguard[server]"') from error

    def ready(info: ModelInfo, server: Server) -> None:
        progress(f"verdict: {info.calibration}")
        scheme = "https" if tls else "http"
        where = address(host, server.port)
        if server.http_port:
            where += f", chat completions on {scheme}://{address(host, server.http_port)}/v1"
        admin = f"{scheme}://{address(admin_host, server.admin_port)}"
        _say(f"xmguard: serving {info.model} on {where}, metrics on {admin}/metrics", sys.stdout)
        if ui:
            _say(f"xmguard: live page on {admin}{PAGE}", sys.stdout)

    def progress(message: str) -> None:
        if sys.stderr.isatty():
            _say(message, sys.stderr)
        else:
            logger.info(message)  # what collectors read is JSON, line by line

    tls = _tls_files(tls_cert, tls_key, tls_client_ca)
    log_to_stderr(quoting=log_tracebacks)
    config = ServerConfig(
        host=host,
        port=port,
        admin_host=admin_host,
        admin_port=admin_port,
        http_port=http_port,
        ui=ui,
        tokens=tokens,
        tls=tls,
        closed_health=closed_health,
        insecure_open_bind=insecure_open_bind,
        max_queue=max_queue,
        max_queue_cost=max_queue_cost,
        max_queue_wait=max_queue_wait,
        max_per_caller=max_per_caller,
        brownout_from=brownout_from,
        brownout_until=brownout_until,
        default_deadline=default_deadline,
        max_deadline=max_deadline,
        workers=workers,
        worker_memory=_bytes(worker_memory),
        step_timeout=step_timeout,
        max_restarts=max_restarts,
        send_timeout=send_timeout,
        grace=grace,
    )
    options = engine_options(
        engine_option,
        tensor_parallel=tensor_parallel,
        concurrency=concurrency,
        experimental=experimental,
        base_url=base_url,
    )
    loading = Loading(
        GUARD,
        {
            "model": model,
            "engine": engine,
            "options": options,
            "device": device,
            "dtype": dtype,
            "profile": profile,
            "sha256": model_sha256,
        },
    )
    launch = ProcessLaunch(loading, workers=config.workers, memory=config.worker_memory)
    tracer = _tracer(otlp_endpoint)
    with flags_named(options):
        asyncio.run(run(config, Metrics(load_plugins()), launch, tracer=tracer, progress=progress, ready=ready))


def _tracer(endpoint: str) -> Tracer | None:
    if not endpoint:
        return None
    try:
        from xmguard_server.tracing import OtlpTracer
    except ImportError as error:
        raise SetupIncomplete(f'a package is missing ({error}); run: pip install "xmguard[tracing]"') from error
    return OtlpTracer(endpoint)


def _say(message: str, where: TextIO) -> None:
    """Print a line, if there is still somebody: a reader that left, or a full disk, is no reason not to serve."""
    try:
        print(message, file=where, flush=True)
    except OSError as error:
        logger.warning("cannot print (%s): %s", error.strerror, message)


def _tls_files(certificate: Path | None, key: Path | None, client_authority: Path | None) -> TlsFiles | None:
    if certificate is not None and key is not None:
        return TlsFiles(certificate, key, client_authority)
    if certificate is not None or key is not None or client_authority is not None:
        raise SetupIncomplete("TLS needs both --tls-cert and --tls-key; --tls-client-ca is no use without them")
    return None


def _bytes(size: str) -> int:
    """The bytes that a size such as 12GiB stands for; 0 for none.

    Raises:
        InvalidRequest: it is no size.
    """
    if not size:
        return 0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MiB|GiB)", size)
    if match is None:
        raise InvalidRequest.field("--worker-memory", f"{size!r} is no size; give one such as 12GiB or 512MiB")
    return int(float(match[1]) * (1 << 20 if match[2] == "MiB" else 1 << 30))
