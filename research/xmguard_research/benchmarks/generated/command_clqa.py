"""The command `clqa`: has a model write CLQA, and keeps what it answered beside the output."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from babel import Locale, UnknownLocaleError

from xmguard.errors import InvalidRequest, XmguardError
from xmguard_research.benchmarks.clqa.files import write
from xmguard_research.benchmarks.clqa.items import Item
from xmguard_research.benchmarks.clqa.languages import ENGLISH
from xmguard_research.benchmarks.generated import cost, running
from xmguard_research.benchmarks.generated.cache import Cache
from xmguard_research.benchmarks.generated.clqa import of_topic, topics
from xmguard_research.benchmarks.generated.prompts import Prompts, load
from xmguard_research.benchmarks.generated.writer import Unwritten, Writer
from xmguard_research.judge.endpoint import RETRIES, Endpoint


def clqa(
    out: Annotated[Path, typer.Option(help="Items as `clqa` writes them; a file that is there is replaced.")],
    model: running.Model,
    base_url: running.BaseUrl = running.OPENAI,
    count: Annotated[int, typer.Option("--topics", min=1, help="Invented events; the paper has 400.")] = 400,
    language: Annotated[list[str] | None, typer.Option(help="Beside English; repeat it. By default zh.")] = None,
    parallel: running.Parallel = 4,
    timeout: running.Timeout = 120.0,
    retries: running.Retries = RETRIES,
    request: running.Request = "{}",
    prompts: running.PromptFile = None,
    cache: Annotated[Path | None, typer.Option(help="Replies are kept here; by default OUT.replies.jsonl.")] = None,
    price_in: running.PriceIn = 0.0,
    price_out: running.PriceOut = 0.0,
    only_estimate: running.OnlyEstimate = False,
    strict: running.Strict = False,
) -> None:
    """Have a model invent news in English and another language that contradict each other, and translate them."""
    languages = [(code, name_of(code)) for code in dict.fromkeys(language or ["zh"])]
    templates, prices = load("clqa", prompts), cost.Prices(price_in, price_out)
    more = running.fields("request", request)
    endpoint = Endpoint(base_url, model, timeout, retries, more)
    kept = Cache(cache or out.with_name(out.name + ".replies.jsonl"))
    try:
        may = cost.of_topics(templates, count, len(languages))
        typer.echo(
            f"at most about {may.calls} calls, {may.tokens_in} tokens in, {may.tokens_out} out, "
            f"{prices.of(may.tokens_in, may.tokens_out)}; {len(kept)} replies are there already"
        )
        if only_estimate:
            return
        writer = Writer(endpoint.complete, kept, identity={"model": model, "request": more}, retries=retries)
        meter = writer.meter

        def used() -> str:
            tokens = f"{meter.tokens_in} tokens in, {meter.tokens_out} out"
            return f"{tokens}, {prices.of(meter.tokens_in, meter.tokens_out)}"

        jobs = partial(_jobs, writer, templates, count, languages)
        found, failed = running.each(jobs, count, what="topics", parallel=parallel, used=used)
    finally:
        kept.close()
    number, digest = write(found, out)
    typer.echo(f"{out}: {number} items of {count - len(failed)} topics, SHA-256 {digest}")
    typer.echo(f"{meter.asked} replies asked for, {meter.kept} there already, {meter.malformed} malformed; {used()}")
    running.close(failed, out.with_name(out.name + ".failed.jsonl"), what="topics", strict=strict)


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


def _jobs(
    writer: Writer, prompts: Prompts, count: int, languages: Sequence[tuple[str, str]]
) -> list[running.Job[Item]]:
    try:
        found = topics(writer, prompts, count)
    except Unwritten as failure:
        raise XmguardError(
            f"there are no topics: {failure}; the same command asks again for what had no reply, "
            "and with more --retries for what was malformed"
        ) from failure
    return [
        running.Job({"topic": topic}, partial(of_topic, writer, prompts, f"generated-{number:04}", topic, languages))
        for number, topic in enumerate(found)
    ]
