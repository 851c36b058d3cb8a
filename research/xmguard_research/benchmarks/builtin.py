"""The suites of this package, offered through the same hook as a plugin's. Light to import."""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.hookspecs import hookimpl
from xmguard.providers import BenchmarkProvider

_HERE = "xmguard_research.benchmarks"


@hookimpl
def xmguard_benchmarks() -> Iterable[BenchmarkProvider]:
    """Suites of conflicts across languages and modalities."""
    return [
        BenchmarkProvider("clqa", "paragraphs in seven languages, from templates", f"{_HERE}.clqa.suites:clqa"),
        BenchmarkProvider("clqa-mini", "three topics of CLQA, in minutes", f"{_HERE}.clqa.suites:clqa_mini"),
        BenchmarkProvider(
            "iseval",
            "flawed premises in seven categories, spontaneous and guided; an analogue of ISEval",
            f"{_HERE}.iseval.suites:iseval",
            f"{_HERE}.iseval.measures:numbers",
        ),
        BenchmarkProvider(
            "mmir",
            "pages with two elements that do not fit together; an analogue of MMIR",
            f"{_HERE}.mmir.suites:mmir",
            f"{_HERE}.mmir.measures:numbers",
        ),
        BenchmarkProvider(
            "modality-conflict",
            "a picture and a text of two colours, in tiers of difficulty; an analogue of When Modalities Conflict",
            f"{_HERE}.modality_conflict.suites:modality_conflict",
            f"{_HERE}.modality_conflict.measures:numbers",
        ),
        BenchmarkProvider(
            "xmodbench",
            "multiple choice from text or image to text or image; an analogue of XModBench",
            f"{_HERE}.xmodbench.suites:xmodbench",
            f"{_HERE}.xmodbench.measures:numbers",
        ),
        BenchmarkProvider("cmqa", "scenes drawn and told, from a generator", f"{_HERE}.cmqa.suites:cmqa"),
        BenchmarkProvider("cmqa-mini", "three triples of CMQA, in minutes", f"{_HERE}.cmqa.suites:cmqa_mini"),
        BenchmarkProvider("pixels", "CLQA's short paragraphs, as text or lettered", f"{_HERE}.pixels.suites:pixels"),
        BenchmarkProvider(
            "clqa-generated",
            "paragraphs that a model wrote by the paper's protocol; your file",
            f"{_HERE}.generated.suites:clqa_generated",
        ),
        BenchmarkProvider(
            "cmqa-generated",
            "photographs, descriptions and drawn pictures by the paper's protocol; your folder",
            f"{_HERE}.generated.suites:cmqa_generated",
        ),
        BenchmarkProvider(
            "xquad-conflict",
            "paragraphs of XQuAD in five languages, an answer replaced; your files",
            f"{_HERE}.xquad.suites:xquad_conflict",
        ),
        BenchmarkProvider(
            "vqa-conflict",
            "pictures of VQA-v2 and a statement from a template; your files",
            f"{_HERE}.vqa.suites:vqa_conflict",
        ),
        BenchmarkProvider(
            "words-or-vision",
            "pairs of statements about pictures, in four ways; your files",
            f"{_HERE}.words_or_vision.suites:words_or_vision",
        ),
    ]
