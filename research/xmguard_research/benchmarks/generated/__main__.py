"""The command: `python -m xmguard_research.benchmarks.generated`.

    python -m xmguard_research.benchmarks.generated --out clqa.jsonl --model gpt-4o --language zh --estimate
    python -m xmguard_research.benchmarks.generated --out clqa.jsonl --base-url http://localhost:8000/v1 --model NAME

The key is read from OPENAI_API_KEY. What was answered is kept beside the output: the same command goes on there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import typer
from babel import Locale, UnknownLocaleError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from xmguard.errors import InvalidRequest, XmguardError
from xmguard_research.benchmarks.clqa.files import write
from xmguard_research.benchmarks.clqa.items import Item
from xmguard_research.benchmarks.clqa.languages import ENGLISH
from xmguard_research.benchmarks.generated.cache import Cache
from xmguard_research.benchmarks.generated.clqa import of_topic, topics
from xmguard_research.benchmarks.generated.cost import Prices, estimate
from xmguard_research.benchmarks.generated.prompts import Prompts, load
from xmguard_research.benchmarks.generated.writer import Unwritten, Writer
from xmguard_research.judge.endpoint import RETRIES, Endpoint

OPENAI = "https://api.openai.com/v1"


def main(
    out: Annotated[Path, typer.Option(help="Items as `clqa` writes them; a file that is there is replaced.")],
    model: Annotated[str, typer.Option(help="As the endpoint names it.")],
    base_url: Annotated[str, typer.Option(help="Of an OpenAI-compatible endpoint.")] = OPENAI,
    count: Annotated[int, typer.Option("--topics", min=1, help="Invented events; the paper has 400.")] = 400,
    language: Annotated[list[str] | None, typer.Option(help="Beside English; repeat it. By default zh.")] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Topics that are written at a time.")] = 4,
    timeout: Annotated[float, typer.Option(help="Seconds without a byte after which an attempt is given up.")] = 120.0,
    retries: Annotated[
        int, typer.Option(min=0, help="Further attempts, of a call and of a malformed reply.")
    ] = RETRIES,
    request: Annotated[str, typer.Option(help="More fields of the request, as JSON.")] = "{}",
    prompts: Annotated[Path | None, typer.Option(help="Templates in place of the built-in ones, TOML.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Replies are kept here; by default OUT.replies.jsonl.")] = None,
    price_in: Annotated[float, typer.Option(min=0, help="Dollars for a million tokens that are read.")] = 0.0,
    price_out: Annotated[float, typer.Option(min=0, help="Dollars for a million tokens that are written.")] = 0.0,
    only_estimate: Annotated[bool, typer.Option("--estimate", help="Say what it may cost, and stop.")] = False,
    strict: Annotated[bool, typer.Option(help="Exit with 1 if a topic failed.")] = False,
) -> None:
    """Have a model invent news in English and another language that contradict each other, and translate them."""
    languages = [(code, name_of(code)) for code in dict.fromkeys(language or ["zh"])]
    templates, prices = load(prompts), Prices(price_in, price_out)
    fields = _object(request)
    endpoint = Endpoint(base_url, model, timeout, retries, fields)
    kept = Cache(cache or out.with_name(out.name + ".replies.jsonl"))
    try:
        may = estimate(templates, count, len(languages))
        typer.echo(
            f"at most about {may.calls} calls, {may.tokens_in} tokens in, {may.tokens_out} out, "
            f"{_dollars(prices, may.tokens_in, may.tokens_out)}; {len(kept)} replies are there already"
        )
        if only_estimate:
            return
        writer = Writer(endpoint, kept, identity={"model": model, "request": fields}, retries=retries)
        found, failed = _written(writer, templates, count, languages, parallel, prices)
    finally:
        kept.close()
    number, digest = write(found, out)
    report = out.with_name(out.name + ".failed.jsonl")
    report.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in failed), encoding="utf-8")
    meter = writer.meter
    typer.echo(f"{out}: {number} items of {count - len(failed)} topics, SHA-256 {digest}")
    typer.echo(
        f"{meter.asked} replies asked for, {meter.kept} there already, {meter.malformed} malformed; "
        f"{meter.tokens_in} tokens in, {meter.tokens_out} out, {_dollars(prices, meter.tokens_in, meter.tokens_out)}"
    )
    typer.echo(f"{len(failed)} topics failed: {report}")
    for row in failed[:3]:
        typer.echo(f"failed: {row['topic']}: {row['reason']}", err=True)
    if strict and failed:
        raise typer.Exit(1)


def name_of(code: str) -> str:
    """English name of a language.

    Raises:
        InvalidRequest: it is none, or English itself.
    """
    try:
        name = Locale.parse(code, sep="-").get_display_name(ENGLISH)
    except (UnknownLocaleError, ValueError):
        name = None
    if name is None or code == ENGLISH:
        raise InvalidRequest.field("language", f"{code!r} is not the code of a language beside English, such as zh")
    return name


def _written(
    writer: Writer, prompts: Prompts, count: int, languages: Sequence[tuple[str, str]], parallel: int, prices: Prices
) -> tuple[list[Item], list[dict[str, str]]]:
    """Items by topic in order, and the topics that have none, with the reason."""
    made: dict[int, list[Item]] = {}
    failed: dict[int, dict[str, str]] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[used]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress, ThreadPoolExecutor(parallel) as pool:
        bar = progress.add_task("writing", total=count, used="topics")
        try:
            found = topics(writer, prompts, count)
        except Unwritten as failure:
            raise XmguardError(f"there are no topics: {failure}; the same command goes on") from failure
        futures = {
            pool.submit(of_topic, writer, prompts, f"generated-{number:04}", topic, languages): (number, topic)
            for number, topic in enumerate(found)
        }
        try:
            for future in as_completed(futures):
                number, topic = futures[future]
                try:
                    made[number] = future.result()
                except Unwritten as failure:
                    failed[number] = {"topic": topic, "reason": str(failure)}
                meter = writer.meter
                used = f"{meter.tokens_in} in, {meter.tokens_out} out, {len(failed)} failed"
                cost = _dollars(prices, meter.tokens_in, meter.tokens_out)
                progress.update(bar, advance=1, used=f"{used}, {cost}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [item for _, items in sorted(made.items()) for item in items], [row for _, row in sorted(failed.items())]


def _dollars(prices: Prices, tokens_in: int, tokens_out: int) -> str:
    if prices == Prices():
        return "no price given"
    return f"${prices.of(tokens_in, tokens_out):.2f}"


def _object(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidRequest.field("request", f"is not JSON: {error}") from error
    if type(found) is not dict:
        raise InvalidRequest.field("request", "must be a JSON object")
    return dict(found)


def run() -> None:
    """Run the command; an error that xmguard raises on purpose is one line."""
    try:
        typer.run(main)
    except XmguardError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    run()
