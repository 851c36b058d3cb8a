"""The command `cmqa`: has models describe, contradict and draw, and keeps what they answered in the output's folder."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.generated import cost, pairs, running
from xmguard_research.benchmarks.generated.album import Album
from xmguard_research.benchmarks.generated.cache import Cache
from xmguard_research.benchmarks.generated.cmqa import Makers, of_triple
from xmguard_research.benchmarks.generated.prompts import load
from xmguard_research.benchmarks.generated.writer import Writer
from xmguard_research.benchmarks.vqa.questions import agreed, read
from xmguard_research.judge.asking import Completion
from xmguard_research.judge.endpoint import RETRIES, Endpoint

BASE64 = '{"response_format": "b64_json"}'
FAILED, REPLIES = "failed.jsonl", "replies.jsonl"


def cmqa(
    out: Annotated[Path, typer.Option(help="Folder of items and pictures; items that are there are replaced.")],
    questions: Annotated[Path, typer.Option(help="Of VQA-v2, JSON.")],
    annotations: Annotated[Path, typer.Option(help="Of VQA-v2, JSON.")],
    images: Annotated[Path, typer.Option(help="Folder of the COCO pictures of this part.")],
    model: running.Model,
    picture_model: Annotated[str, typer.Option(help="That draws, as the endpoint names it.")],
    base_url: running.BaseUrl = running.OPENAI,
    picture_base_url: Annotated[str, typer.Option(help="Of who draws; empty for --base-url.")] = "",
    picture_size: Annotated[str, typer.Option(help="Width and height in pixels, or auto.")] = "1024x1024",
    picture_request: Annotated[str, typer.Option(help="More fields for who draws; {} for gpt-image-1.")] = BASE64,
    triples: Annotated[int, typer.Option(min=1, help="Questions at random; the paper has 500.")] = 500,
    seed: Annotated[int, typer.Option(help="By which questions are drawn.")] = 0,
    parallel: running.Parallel = 4,
    timeout: running.Timeout = 120.0,
    retries: running.Retries = RETRIES,
    request: running.Request = "{}",
    prompts: running.PromptFile = None,
    price_in: running.PriceIn = 0.0,
    price_out: running.PriceOut = 0.0,
    price_picture: Annotated[float, typer.Option(min=0, help="Dollars for one picture.")] = 0.0,
    only_estimate: running.OnlyEstimate = False,
    strict: running.Strict = False,
) -> None:
    """Have photographs of VQA-v2 described as they are and otherwise, and the descriptions drawn."""
    templates, prices = load("cmqa", prompts), cost.Prices(price_in, price_out, price_picture)
    size = size_of(picture_size)
    more = running.fields("request", request)
    more_drawn = {**running.fields("picture_request", picture_request), "size": picture_size}
    endpoint = Endpoint(base_url, model, timeout, retries, more)
    drawing = Endpoint(picture_base_url or base_url, picture_model, timeout, retries, more_drawn)
    chosen = agreed(read(questions, annotations, images), triples, seed)
    album = pairs.album(out)
    kept = Cache(out / REPLIES)
    try:
        may = cost.of_triples(templates, triples)
        typer.echo(
            f"at most about {may.calls} calls, {may.tokens_in} tokens in, {may.tokens_out} out, "
            f"{may.pictures} pictures, {prices.of(may.tokens_in, may.tokens_out, may.pictures)}; "
            f"{len(kept)} replies are there already"
        )
        if only_estimate:
            return
        writer = Writer(endpoint.complete, kept, identity={"model": model, "request": more}, retries=retries)
        artist = Writer(
            lambda prompt: _drawn(drawing, album, str(prompt), size),
            kept,
            identity={"picture_model": picture_model, "request": more_drawn},
            retries=retries,
        )
        meters = writer.meter, artist.meter

        def used() -> str:
            tokens_in, tokens_out = writer.meter.tokens_in, writer.meter.tokens_out
            drawn = artist.meter.asked - artist.meter.refused
            tokens = f"{tokens_in} tokens in, {tokens_out} out, {drawn} pictures"
            return f"{tokens}, {prices.of(tokens_in, tokens_out, drawn)}"

        makers = Makers(writer, artist, album, templates)
        jobs = [
            running.Job({"triple": one.name, "question": one.question}, partial(of_triple, makers, one, number))
            for number, one in enumerate(chosen)
        ]
        found, failed = running.each(lambda: jobs, triples, what="triples", parallel=parallel, used=used)
    finally:
        kept.close()
    number, digest = pairs.write(found, out)
    asked, there, malformed, refused = (
        sum(getattr(meter, name) for meter in meters) for name in ("asked", "kept", "malformed", "refused")
    )
    typer.echo(f"{out / pairs.FILE}: {number} items of {triples - len(failed)} triples, SHA-256 {digest}")
    typer.echo(f"{asked} replies asked for, {there} there already, {malformed} malformed, {refused} refused; {used()}")
    running.close(failed, out / FAILED, what="triples", strict=strict)


def size_of(text: str) -> tuple[int, int] | None:
    """Width and height in pixels; None for `auto`.

    >>> size_of("1024x768"), size_of("auto")
    ((1024, 768), None)

    Raises:
        InvalidRequest: it is neither.
    """
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if found is None and text != "auto":
        raise InvalidRequest.field("picture_size", f"{text!r} is not as 1024x1024, nor auto")
    return None if found is None else (int(found[1]), int(found[2]))


def _drawn(endpoint: Endpoint, album: Album, prompt: str, size: tuple[int, int] | None) -> Completion:
    """A picture's name in the album, where it is before its reply is kept; a reply that is no picture is malformed."""
    completion = endpoint.draw(prompt)
    if completion.malformed:
        return completion
    try:
        return replace(completion, text=album.keep_base64(completion.text, size))
    except ValueError as error:
        return replace(completion, text="", malformed=str(error))
