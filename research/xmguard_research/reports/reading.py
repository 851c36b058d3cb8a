"""Logs of inspect_ai and analyses beside them, read into `values`.

Every log is read once. Knows no page.
"""

from __future__ import annotations

import json
import shlex
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from inspect_ai.log import EvalLog, EvalSample
from inspect_ai.model import ChatMessageUser, ContentImage, ContentText

from xmguard.errors import XmguardError
from xmguard_research.benchmarks.asking import request_of
from xmguard_research.benchmarks.missing import unasked
from xmguard_research.benchmarks.providers import response_of
from xmguard_research.benchmarks.settings import Settings
from xmguard_research.benchmarks.summary import Asking, Row, logs, newest, rows_of
from xmguard_research.reports.values import Analysis, Material, Response, Run, Scored, Source, by_prompt

SUMMARY = "summary.json"
MEDIA = {".svg": "image/svg+xml", ".png": "image/png"}
_OURS = "xmguard/"
_INLINE = "data:"


def read(folder: Path) -> Material:
    """Everything in a folder of logs.

    Raises:
        FileNotFoundError: there is no log.
        XmguardError: a summary of an analysis is not in its form, or names a figure that is not there.
    """
    every: list[Row] = []
    heads: dict[str, EvalLog] = {}
    behind: dict[tuple[str, str], Response] = {}
    for log in logs(folder):
        every += rows_of(log)
        behind |= {(log.location, str(sample.id)): _response(sample) for sample in log.samples or []}
        heads[log.location] = log.model_copy(update={"samples": None})
    rows = newest(every)
    responses = {(row.log, row.sample): behind[row.log, row.sample] for row in rows}
    runs, gaps = tuple(_runs(rows, heads, responses)), tuple(unasked(folder, rows))
    return Material(tuple(rows), responses, runs, _analyses(folder), folder, gaps)


def _response(sample: EvalSample) -> Response:
    messages = sample.input if isinstance(sample.input, list) else [ChatMessageUser(content=sample.input)]
    last = messages[-1]
    request = request_of(last) if isinstance(last, ChatMessageUser) else None
    if request is None:
        question, sources = (sample.metadata or {}).get("asked", ""), tuple(_shown(last.content))
    else:
        question = request.question
        sources = tuple(
            Source(span.id, span.language, span.text or "", None if span.media is None else span.media.data)
            for span in request.spans
        )
    scores = {
        name: Scored(str((score.metadata or {}).get("judge", "")), score.explanation or "")
        for name, score in (sample.scores or {}).items()
    }
    return Response(question, sources, sample.output.completion, response_of(sample.output), scores)


def _shown(content: Any) -> Iterator[Source]:
    """Parts of a message that carries no request."""
    parts = [ContentText(text=content)] if isinstance(content, str) else content
    for number, part in enumerate(parts, 1):
        match part:
            case ContentText():
                yield Source(f"part {number}", "", part.text)
            case ContentImage() if part.image.startswith(_INLINE):
                yield Source(f"part {number}", "", picture=b64decode(part.image.partition(",")[2]))
            case _:
                yield Source(f"part {number}", "", f"({part.type})")


def _runs(
    rows: Iterable[Row], heads: Mapping[str, EvalLog], responses: Mapping[tuple[str, str], Response]
) -> Iterator[Run]:
    grouped: dict[Asking, list[Row]] = {}
    for row in rows:
        grouped.setdefault(Asking.of(row.key), []).append(row)
    for asking, own in sorted(grouped.items()):
        names = sorted({row.log for row in own})
        behind = [responses[row.log, row.sample] for row in own]
        files = [heads[name] for name in names]
        started = [log.stats.started_at for log in files if log.stats.started_at]
        ended = [log.stats.completed_at for log in files if log.stats.completed_at]
        yield Run(
            asking=asking,
            prompts=tuple(sorted({row.key.prompt for row in own}, key=by_prompt)),
            stamps=tuple(sorted({one.guard.served_by for one in behind if one.guard}, key=repr)),
            judges=tuple(sorted({score.judge for one in behind for score in one.scores.values()} - {""})),
            decoding="; ".join(sorted({_decoding(log) for log in files})),
            started=min(started, default=""),
            ended=max(ended, default="") if len(ended) == len(files) else "",
            commits=tuple(sorted({_commit(log) for log in files} - {""})),
            engine=", ".join(sorted({log.eval.packages.get("inspect_ai", "") for log in files} - {""})),
            commands=tuple(sorted({_command(log) for log in files})),
            logs=tuple(Path(name).name for name in names),
        )


def _decoding(log: EvalLog) -> str:
    config = log.plan.config
    temperature = "default" if config.temperature is None else f"{config.temperature:g}"
    tokens = "any number of" if config.max_tokens is None else str(config.max_tokens)
    seed = "" if config.seed is None else f", seed {config.seed}"
    return f"temperature {temperature}, up to {tokens} tokens{seed}"


def _commit(log: EvalLog) -> str:
    revision = log.eval.revision
    return "" if revision is None else revision.commit + ("+" if revision.dirty else "")


def _command(log: EvalLog) -> str:
    """The command that asks this again."""
    about, told = log.eval.metadata or {}, log.eval.task_args_passed
    name = log.eval.model.removeprefix(_OURS)
    plain = Settings()
    words = ["xmguard", "bench", "run", str(about["suite"]), "--model", name]
    for key, value in told.items():
        word = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        if not hasattr(plain, key):
            words += ["-T", f"{key}={word}"]
        elif value != getattr(plain, key):
            words += [f"--{key.replace('_', '-')}", word]
    for key, value in log.eval.model_args.items():
        words += ["-M", f"{key}={value}"]
    return shlex.join(words)


def _analyses(folder: Path) -> tuple[Analysis, ...]:
    found = []
    for path in sorted(folder.rglob(SUMMARY)):
        said = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(said, dict) and "analysis" in said:
            found.append(_analysis(said, path))
    return tuple(found)


def _analysis(said: Mapping[str, Any], path: Path) -> Analysis:
    try:
        more = [(one["title"], one["table"]) for one in said.get("more_tables", [])]
        return Analysis(
            name=said["analysis"],
            title=said["title"],
            about=f"{said['model']} on {said['suite']}, {said['items']} items",
            command=said["command"],
            caption=said["caption"],
            tables=(("", said["table"]), *more),
            figures=tuple((name, _picture(path.parent / name)) for name in said["figures"]),
        )
    except (KeyError, TypeError) as error:
        raise XmguardError(f"{path} is no summary of an analysis: {error!r}") from error


def _picture(path: Path) -> str:
    media = MEDIA.get(path.suffix)
    if media is None or not path.is_file():
        raise XmguardError(f"{path} is no figure that can be shown: it must be there, as {' or '.join(MEDIA)}")
    return data_url(media, path.read_bytes())


def data_url(media: str, data: bytes) -> str:
    """Bytes as an address that needs no network."""
    return f"{_INLINE}{media};base64,{b64encode(data).decode('ascii')}"
