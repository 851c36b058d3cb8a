"""The report of real logs, of a tiny model and of one that says dangerous things, as files and in a real browser."""

import csv
import json
import re
from io import BytesIO

import pytest
from inspect_ai import eval as evaluate
from inspect_ai.model import ModelAPI, ModelOutput, modelapi
from PIL import Image
from typer.testing import CliRunner

from xmguard import Media, Span
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.command import app
from xmguard_research.benchmarks.settings import Settings
from xmguard_research.benchmarks.summary import answered, cells, markdown
from xmguard_research.benchmarks.tasks import conflicts
from xmguard_research.reports.writing import PAGE, write

HOSTILE = '</script><img src="https://example.org/x.png" onerror="window.hacked = 1"><b>{{ 7 * 7 }}</b>&amp; <!--'
WIDTHS = (1280, 800, 390)
A4 = 696
"""Pixels between the margins of a printed page."""


@modelapi(name="saying")
def saying():
    """Of a provider that is not ours: it sees one conflict of two, and has the worst words for the other."""

    class Saying(ModelAPI):
        async def generate(self, input, tools, tool_choice, config):  # noqa: A002  # inspect's own name
            asked = " ".join(part.text for part in input[-1].content if part.type == "text")
            words = "Red."
            if "green" in asked:
                words = HOSTILE if "door" in asked else "The two sources contradict each other."
            return ModelOutput.from_content(self.model_name, words)

    return Saying


def picture(colour):
    made = BytesIO()
    Image.new("RGB", (300, 200), colour).save(made, "PNG")
    return Span("s2", media=Media("image/png", made.getvalue()))


def cases():
    for item in ("door", "gate"):
        for conflict in (True, False):
            second = Span("s2", "It is green." if conflict else "Red it is.", language="en")
            spans = (Span("s1", f"The {item} is red.", language="en"), second)
            yield Case(f"{item}/{conflict}", item, "en-en", f"Which colour is the {item}?", spans, conflict, ("red",))
    spans = (Span("s1", "The wall is red.", language="en"), picture("green"))
    yield Case("wall/True", "wall", "text-image", "Which colour is the wall?", spans, True, ("red", "green"))


@pytest.fixture(scope="module")
def logs(tiny_folder, tmp_path_factory):
    """Logs of a tiny model in two settings, which cannot read the picture, and of another provider's model."""
    folder = tmp_path_factory.mktemp("logs")

    def ask(model, prompts, **settings):
        asked = conflicts(cases(), name="doors", settings=Settings(prompts=prompts, **settings))
        evaluate(asked, model=model, log_dir=str(folder), display="none", max_tokens=2, fail_on_error=False)

    ask(f"xmguard/{tiny_folder}", "standard,explicit")
    ask(f"xmguard/{tiny_folder}", "standard", policy="fixed", epsilon=2.0)
    ask("saying/model", "standard")
    analysis = folder / "analyses" / "primacy"
    analysis.mkdir(parents=True)
    (analysis / "order.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    told = {"analysis": "primacy", "model": "m", "suite": "doors", "items": 2, "command": "again --please"}
    told |= {"title": "Which place wins", "caption": "<i>Two</i> places.", "figures": ["order.svg"]}
    (analysis / "summary.json").write_text(json.dumps({**told, "table": [["place", "wins"], ["1", "<b>0.7</b>"]]}))
    (folder / "summary.json").write_text("[]")
    return folder


@pytest.fixture(scope="module")
def report(logs):
    return write(logs, logs / "report").parent


def test_the_files_hold_the_numbers_of_the_logs(logs, report):
    own = cells(answered(logs))
    assert "conflicts said" in markdown(answered(logs))
    told = json.loads((report / "results.json").read_text())
    with (report / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(own) == len(told["cells"]) == len(table) == 8
    for (key, cell), line, said in zip(own.items(), table, told["cells"], strict=True):
        assert [line[name] for name in key._fields] == [said[name] for name in key._fields] == list(key)
        assert [int(line[name]) for name in ("conflicts", "controls", "failed")] == [
            len(cell.of(True)),
            len(cell.of(False)),
            cell.failed,
        ]
        rate = cell.rate(True)
        assert said["numbers"]["conflicts_said"]["value"] == (None if rate is None else rate.value)
    with (report / "items.csv").open() as file:
        items = list(csv.DictReader(file))
    assert sum(len(cell.rows) for cell in own.values()) == len(items) == 20
    assert HOSTILE in [one["response"] for one in items]
    assert "| doors | saying/model | as it comes | standard | unimodal | 50% [" in (report / "summary.md").read_text()


def test_figures_are_files_too(report):
    names = {path.name for path in (report / "figures").iterdir()}
    assert {"01-detection.svg", "01-detection.png", "02-contributions.svg", "02-reliability.png"} <= names
    assert "change-01.svg" in names
    for path in (report / "figures").glob("*.png"):
        with Image.open(path) as opened:
            assert opened.width >= 600


def test_texts_of_models_and_analyses_are_escaped(report):
    page = (report / PAGE).read_text()
    assert HOSTILE not in page
    assert "onerror=" not in re.sub(r"\\u003cimg[^<]*", "", page)
    assert "{{ 7 * 7 }}" in page  # as the model said it
    assert page.count("</script>") == 2
    assert "&lt;i&gt;Two&lt;/i&gt; places." in page
    assert "&lt;b&gt;0.7&lt;/b&gt;" in page
    island = page.partition('id="data">')[2].partition("</script>")[0]
    assert HOSTILE in [one["words"] for one in json.loads(island)["items"]]
    assert len(json.loads(island)["pictures"]) == 1  # three times in the logs


def test_the_page_says_what_was_run_and_what_was_left_out(report):
    page = (report / PAGE).read_text()
    for said in ("float32", "temperature 0", "rules ", "sensitivity 0.", "xmguard bench run doors", "again --please"):
        assert said in page
    assert "another provider's" in page
    assert "What was left out" in page
    assert "wall/True/explicit" in page  # failed: the model cannot read pictures


def test_the_command_writes_the_same_report_of_the_same_logs(logs, report, tmp_path):
    def files(folder):
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}

    done = CliRunner().invoke(app, ["report", str(logs), "--out", str(tmp_path / "here")])
    assert done.exit_code == 0, done.output
    assert PAGE in done.output
    assert files(tmp_path / "here") == files(report)  # which lies among the logs by now, and is none
    empty = CliRunner().invoke(app, ["report", str(tmp_path / "here" / "figures")])
    assert "xmguard bench run writes some" in str(empty.exception)


@pytest.fixture
def page(browser, report):
    """The report, opened; whatever it complains of or asks for fails the test."""
    context = browser.new_context(viewport={"width": WIDTHS[0], "height": 900})
    opened, complaints, asked = context.new_page(), [], []
    opened.on("console", lambda said: complaints.append(said.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    address = (report / PAGE).as_uri()
    opened.goto(address)
    yield opened
    assert opened.evaluate("window.hacked") is None
    assert complaints == []
    assert {url.partition("#")[0] for url in asked if not url.startswith("data:")} == {address}
    context.close()


def test_nothing_overflows_on_screens_or_on_paper(page):
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
    page.set_viewport_size({"width": A4, "height": 900})
    page.emulate_media(media="print")
    wide = "[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth + 1).length"
    assert page.evaluate(wide) == 0
    assert not page.locator(".filters").is_visible()
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_a_number_opens_the_responses_behind_it(page, expect):
    block = page.locator("section.block", has_text="saying/model")
    block.locator("tbody a", has_text="50%").first.click()
    dialog = page.locator("dialog")
    # The page follows its address once the browser says that it has changed, which is after the click has returned.
    expect(dialog.locator("#list-title")).to_have_text("doors, standard, en-en: conflicts said")
    expect(dialog.locator(".response")).to_have_count(2)
    assert HOSTILE in dialog.locator(".responses").inner_text()
    dialog.get_by_role("button", name="not counted").click()
    expect(dialog.locator(".response")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.wait_for_url(lambda address: "#list" not in address)
    block.locator("tr", has_text="text-image").locator("a", has_text="1").last.click()
    expect(dialog.locator("img")).to_have_js_property("naturalWidth", 160)
    page.go_back()
    expect(dialog).to_be_hidden()


def test_a_filter_hides_what_is_not_chosen_and_gives_it_back(page):
    rows = page.locator("main tr[data-suite]:visible")
    every = rows.count()
    page.get_by_label("model").select_option("saying/model")
    assert page.locator("section.block:visible").count() == 1
    assert 0 < rows.count() < every
    assert "rows" in page.locator(".filters output").inner_text()
    assert "every prompt" not in page.locator(".filters output").inner_text()
    page.locator("select[data-filter=prompt]").select_option("explicit")
    assert page.locator("section.block:visible").count() == 0  # that model was not asked so
    page.locator("select[data-filter=model]").select_option("*")
    assert page.locator("section.block:visible").count() == 1
    assert "figures and suites' own numbers always show every prompt" in page.locator(".filters output").inner_text()
    page.get_by_role("button", name="Show all").click()
    page.wait_for_function(f"document.querySelectorAll('main tr[data-suite]:not([hidden])').length == {every}")


def test_without_javascript_everything_is_visible(browser, report):
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto((report / PAGE).as_uri())
    assert opened.locator("section.block:visible").count() == 3
    assert opened.locator("section.block figure svg:visible").count() >= 3
    assert not opened.locator("dialog").is_visible()
    assert not opened.locator(".filters").is_visible()
    context.close()
