"""The live page of the real server in a real browser, with clicks and keys, around a scripted guard."""

from __future__ import annotations

import base64
import math
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.scripted import Script, Serving, blocked, eventually, raising, serving
from tests.serving.auth_matrix import Keys
from xmguard.deadline import Stop
from xmguard.errors import ErrorCode, FieldViolation, InvalidRequest, Reason, XmguardError
from xmguard.request import AnswerRequest, Scope
from xmguard.response import (
    AnswerGroup,
    AnswerResponse,
    ConflictVerdict,
    Decision,
    Delta,
    Disagreement,
    Done,
    Event,
    FinishReason,
    Imbalance,
    LayerContribution,
    Quote,
    Rebalancing,
    SpanReport,
    Started,
    Status,
    Usage,
)

HOSTILE = '</script><img src="https://example.org/x.png" onerror="window.hacked = 1"><b>{{ 7 * 7 }}</b>&amp; <!--'
WIDTHS = (390, 800, 1280, 1600)
ANSWER = "s1 says 8:15, s2 says 9:40."


def telling(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
    """A guard that has everything to tell: layers, quotes, groups, warnings, and what a bias did."""
    bias = request.rebalance.bias
    before = [0.4 / (index + 1) for index in range(len(request.spans))]
    weights = [math.exp(min(0.0, bias.get(span.id, 0.0))) for span in request.spans]
    after = [share * weight for share, weight in zip(before, weights, strict=True)]
    spans = tuple(
        SpanReport(
            span.id,
            "image" if span.media else "text",
            span.language or "en",
            tokens=20,
            contribution_before=3 * before[index],
            contribution_after=3 * after[index],
            share_before=before[index],
            share_after=after[index],
            bias=bias.get(span.id) if bias else None,
            answer_alone=f"{HOSTILE} {index}",
            layers=tuple(
                LayerContribution(layer, (before[index] * layer, 0.0), (after[index] * layer, 0.0))
                for layer in range(5)
            ),
        )
        for index, span in enumerate(request.spans)
    )
    yield Started("", spans)
    said = request.spans[0].text or ""
    quote = Quote(said[2:7], 2, 7)
    verdict = ConflictVerdict(
        Decision.CONFLICT,
        0.87,
        Status.OK,
        f"they differ {HOSTILE}",
        (Disagreement("s1", "s2", "8:15", "9:40", 0.87, quote),),
        groups=(AnswerGroup("8:15", ("s1",)), AnswerGroup(HOSTILE, ("s2",))),
    )
    yield verdict
    yield Delta(ANSWER)
    yield Done(
        AnswerResponse(
            answer=ANSWER + HOSTILE,
            verdict=verdict,
            spans=spans,
            imbalance=Imbalance(math.log(2), math.log(1.5), "s2", log_ratio_per_token_before=0.3, over_attended="s1"),
            rebalancing=Rebalancing(bool(bias), request.rebalance.policy, "as asked", Scope.READERS),
            usage=Usage(prompt_tokens=40, completion_tokens=3, seconds=1.25),
            warnings=(f"spans[1].language: {HOSTILE}",),
            unbiased_answer="something else" if bias else "",
            finish_reason=FinishReason.STOP,
        )
    )


class Page:
    """A page in the browser, and what it complained of and asked for."""

    def __init__(self, browser: Any, url: str, **context: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.tab = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.tab.on("console", lambda said: self.complaints.append(said.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.url = url
        self.tab.goto(f"{url}/ui/")

    def example(self) -> None:
        self.tab.get_by_role("button", name="Two notices that disagree").click()

    def ask(self) -> None:
        self.tab.get_by_role("button", name="Ask", exact=True).click()

    def close(self) -> None:
        """Nothing ran that was only text, nothing failed, and nothing was asked of anybody else."""
        assert self.tab.evaluate("window.hacked") is None
        assert self.complaints == []
        assert {url for url in self.asked if not url.startswith((f"{self.url}/ui/", "data:", "blob:"))} == set()
        self.context.close()


@pytest.fixture(scope="module")
def told() -> Iterator[Serving]:
    with serving(telling, ui=True) as server:
        yield server


@pytest.fixture
def page(browser: Any, told: Serving) -> Iterator[Page]:
    opened = Page(browser, told.admin_url)
    yield opened
    opened.close()


@pytest.fixture
def scripted(told: Serving) -> Iterator[Any]:
    """Gives the guard another script for one test."""

    def use(script: Script) -> None:
        told.guard.script = script

    yield use
    told.guard.script = telling


def test_the_verdict_comes_before_the_words_and_these_in_pieces(page: Page, expect: Any, scripted: Any) -> None:
    gates = [threading.Event() for _ in range(3)]

    def gated(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
        started, verdict, _, done = telling(request, stop)
        yield started
        for gate, event in zip(gates, (verdict, Delta("s1 says "), Delta("8:15")), strict=True):
            while not gate.wait(0.002):
                stop.check()
            yield event
        while not last.wait(0.002):
            stop.check()
        yield done

    last = threading.Event()
    scripted(gated)
    page.example()
    page.ask()
    tab = page.tab
    expect(tab.locator("#spans .span").first).to_contain_text("40 %")
    expect(tab.locator("#verdict")).to_be_hidden()
    gates[0].set()
    expect(tab.locator("#verdict")).to_contain_text("The sources contradict each other")
    expect(tab.locator("#verdict")).to_contain_text("87 %")
    expect(tab.locator("#answer")).to_have_text("")
    expect(tab.locator("#answer")).to_have_attribute("aria-busy", "true")
    gates[1].set()
    expect(tab.locator("#answer")).to_have_text("s1 says ")
    gates[2].set()
    expect(tab.locator("#answer")).to_have_text("s1 says 8:15")
    last.set()
    expect(tab.locator("#stage")).to_contain_text("Done in")
    expect(tab.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect(tab.locator("#facts")).to_contain_text("1.3 s")


def test_a_slider_asks_again_with_its_bias(page: Page, expect: Any, told: Serving) -> None:
    page.example()
    page.ask()
    tab = page.tab
    expect(tab.locator("#stage")).to_contain_text("Done in")
    assert told.guard.calls[-1][0].rebalance.policy == ""
    assert not tab.locator(".bar.before").first.is_visible()
    slider = tab.get_by_label("Steer s2")
    slider.focus()
    before = len(told.guard.calls)
    tab.keyboard.press("ArrowLeft")
    expect(tab.locator("#unsteered")).to_contain_text("something else")
    steered = told.guard.calls[-1][0]
    assert (steered.rebalance.policy, steered.rebalance.bias) == ("fixed", {"s1": 0.0, "s2": -0.5})
    assert steered.detail.unbiased_answer
    expect(tab.locator("#stage")).to_contain_text("Done in")
    slider.evaluate(
        """node => [-1, -1.25, -1.5].forEach((value) => {
            node.value = value;
            for (const kind of ["input", "change"]) node.dispatchEvent(new Event(kind, {bubbles: true}));
        })"""
    )
    eventually(lambda: told.guard.calls[-1][0].rebalance.bias == {"s1": 0.0, "s2": -1.5})
    assert len(told.guard.calls) == before + 2  # one question for all that were chosen in a moment
    assert slider.evaluate("node => node === document.activeElement")
    expect(tab.locator(".span").nth(1).locator(".bars").first).to_contain_text("20 %")
    expect(tab.locator(".span").nth(1).locator(".bars").first).to_contain_text("4 %")
    tab.get_by_label("Remove s1").check()
    expect(tab.locator(".span").first).to_have_class("span out")
    assert told.guard.calls[-1][0].rebalance.bias == {"s1": -math.inf, "s2": -1.5}
    tab.get_by_role("button", name="Undo steering").click()
    expect(tab.get_by_label("Remove s1")).not_to_be_checked()
    expect(tab.locator("#key")).to_be_hidden()
    assert told.guard.calls[-1][0].rebalance.policy == ""


def picture() -> bytes:
    made = BytesIO()
    Image.new("RGB", (30, 20), "green").save(made, "PNG")
    return made.getvalue()


def test_pictures_are_dropped_pasted_and_chosen_and_sent(page: Page, expect: Any, told: Serving) -> None:
    tab = page.tab
    tab.get_by_label("Text of source s1").fill("The door is red.")
    data = base64.b64encode(picture()).decode()
    for event, carrier in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        tab.evaluate(
            """([event, carrier, data]) => {
                const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
                const file = new File([bytes], "door.png", {type: "image/png"});
                const carried = new DataTransfer();
                carried.items.add(file);
                const kind = event === "drop" ? DragEvent : ClipboardEvent;
                const happened = new kind(event, {bubbles: true, cancelable: true, [carrier]: carried});
                document.getElementById("question").dispatchEvent(happened);
            }""",
            [event, carrier, data],
        )
        expect(tab.locator(".card img")).to_have_count(1 if event == "drop" else 2)
    with tab.expect_file_chooser() as chooser:
        tab.get_by_role("button", name="Add a picture").click()
    chooser.value.set_files([{"name": "third.png", "mimeType": "image/png", "buffer": picture()}])
    expect(tab.get_by_alt_text("Picture s4")).to_have_js_property("naturalWidth", 30)
    tab.get_by_role("button", name="Remove source s3").click()
    tab.get_by_label("Question", exact=True).fill("Which colour is the door?")
    page.ask()
    expect(tab.locator("#stage")).to_contain_text("Done in")
    first, *pictures = told.guard.calls[-1][0].spans
    assert first.text == "The door is red."
    assert [(one.id, one.media.media_type, one.media.data) for one in pictures if one.media] == [
        ("s2", "image/png", picture()),
        ("s3", "image/png", picture()),
    ]
    expect(tab.locator("#spans img")).to_have_count(2)


def test_an_error_says_in_words_what_to_do_and_where(page: Page, expect: Any, scripted: Any) -> None:
    tab = page.tab
    page.example()
    wrong = [FieldViolation("spans[1].text", f"is empty {HOSTILE}"), FieldViolation("question", "is empty")]
    scripted(raising(InvalidRequest(wrong)))
    page.ask()
    failure = tab.get_by_role("alert").locator("visible=true")
    expect(failure).to_contain_text("Source s2, text: is empty </script>")
    expect(failure).to_contain_text("Question: is empty")
    expect(tab.get_by_label("Text of source s2")).to_have_attribute("aria-invalid", "true")
    expect(tab.get_by_label("Question", exact=True)).to_have_attribute("aria-invalid", "true")
    scripted(
        raising(XmguardError("32 wait", code=ErrorCode.RESOURCE_EXHAUSTED, reason=Reason.QUEUE_FULL, retry_after=3.0))
    )
    page.ask()
    expect(failure).to_contain_text("The server is busy")
    expect(failure).to_contain_text("32 wait")
    expect(failure).to_contain_text("About 3 s should do.")
    scripted(telling)
    tab.get_by_role("button", name="Ask again").click()
    expect(tab.locator("#verdict")).to_be_visible()
    expect(tab.locator("#failure")).to_be_hidden()
    page.complaints = [said for said in page.complaints if "status of 4" not in said]  # the browser's own words


def test_a_server_that_is_gone_is_said_to_be(browser: Any, expect: Any) -> None:
    with serving(ui=True) as server:
        page = Page(browser, server.admin_url)
        page.example()
        expect(page.tab.locator("#served")).to_contain_text("scripted")
    page.ask()
    expect(page.tab.locator("#failure")).to_contain_text("The server cannot be reached")
    page.context.close()


def test_cancelling_ends_the_question_on_the_server(page: Page, expect: Any, told: Serving, scripted: Any) -> None:
    scripted(blocked(threading.Event()))
    page.example()
    page.ask()
    expect(page.tab.locator("#verdict")).to_be_visible()
    closed = told.guard.closed
    page.tab.get_by_role("button", name="Cancel").click()
    expect(page.tab.locator("#stage")).to_have_text("Cancelled.")
    eventually(lambda: told.guard.closed == closed + 1)


def test_asking_anew_takes_the_place_of_what_runs(page: Page, expect: Any, told: Serving, scripted: Any) -> None:
    scripted(blocked(threading.Event()))
    page.example()
    page.ask()
    expect(page.tab.locator("#verdict")).to_be_visible()
    closed = told.guard.closed
    scripted(telling)
    page.tab.get_by_role("button", name="Two that agree").click()
    page.tab.get_by_role("button", name="Ask anew").click()
    expect(page.tab.locator("#spans")).to_contain_text("Ellbach")
    expect(page.tab.locator("#stage")).to_contain_text("Done in")
    eventually(lambda: told.guard.closed == closed + 2)  # nothing of the first went on


def test_hostile_words_stay_words_and_quotes_are_where_they_are(page: Page, expect: Any, told: Serving) -> None:
    tab = page.tab
    said = f"😀 8:15, not 9:40. {HOSTILE}"  # the first character is two units of the browser's
    tab.get_by_label("Text of source s1").fill(said)
    tab.get_by_label("Name of source s1").fill("<b>name</b>")
    tab.get_by_label("Text of source s2").fill(HOSTILE)
    tab.get_by_label("Question", exact=True).fill(HOSTILE)
    page.ask()
    expect(tab.locator("#answer")).to_have_text(ANSWER + HOSTILE)
    expect(tab.locator("#spans mark")).to_have_text("8:15,")
    assert tab.locator("#spans .words").first.text_content() == said
    expect(tab.locator("#warnings")).to_contain_text(f"Source s2, language: {HOSTILE}")
    expect(tab.locator("#verdict .groups")).to_contain_text(HOSTILE)
    assert told.guard.calls[-1][0].spans[0].source == "<b>name</b>"
    assert tab.locator("main img").count() == tab.locator("main b b").count() == 0


def test_layers_and_the_last_requests_are_drawn_and_told_in_numbers(page: Page, expect: Any) -> None:
    tab = page.tab
    page.example()
    page.ask()
    expect(tab.locator("#heat .strip").first.locator(".cell")).to_have_count(5)
    expect(tab.locator("#heat .strip").first).to_have_attribute("aria-label", "s1: most in layer 4, 0.8")
    tab.get_by_text("As numbers").click()
    expect(tab.locator("#heat-numbers tbody tr")).to_have_count(5)
    expect(tab.locator("#recent-summary")).to_contain_text("a ring before steering (median 2.0 times)")
    expect(tab.locator("#recent-chart circle.after").first).to_be_visible()
    tab.get_by_role("button", name="per token").click()
    expect(tab.locator("#recent-summary")).to_contain_text("median 1.3 times")


def test_everything_can_be_done_with_keys(page: Page, expect: Any, told: Serving) -> None:
    tab = page.tab

    def focused() -> str:
        return tab.evaluate(
            "(document.activeElement.ariaLabel || document.activeElement.labels?.[0]?.innerText || "
            "document.activeElement.innerText).trim()"
        )

    def go_to(name: str) -> None:
        for _ in range(60):
            tab.keyboard.press("Tab")
            if focused() == name:
                outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none"
                return
        raise AssertionError(f"{name} is not in the order of the Tab key")

    go_to("Text of source s1")
    tab.keyboard.type("It leaves at 8:15.")
    go_to("Language of source s2")
    go_to("Text of source s2")
    tab.keyboard.type("It leaves at 9:40.")
    go_to("Add a text")
    tab.keyboard.press("Enter")
    assert focused() == "Text of source s3"
    go_to("Remove source s3")
    tab.keyboard.press("Space")
    assert focused() == "Remove source s2"
    go_to("Question")
    tab.keyboard.type("When?")
    tab.keyboard.press("Control+Enter")
    expect(tab.locator("#stage")).to_contain_text("Done in")
    assert [span.text for span in told.guard.calls[-1][0].spans] == ["It leaves at 8:15.", "It leaves at 9:40."]
    go_to("Steer s1 (ε, nats)")
    tab.keyboard.press("ArrowRight")
    expect(tab.locator("#unsteered")).to_be_visible()
    go_to("Remove s2 (−∞)")
    tab.keyboard.press("Space")
    expect(tab.locator(".span").nth(1)).to_have_class("span out")
    assert told.guard.calls[-1][0].rebalance.bias == {"s1": 0.5, "s2": -math.inf}


CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const parse = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const found = parse(getComputedStyle(one).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.textContent.trim() || !node.checkVisibility()) continue;
    if (node.closest(".hidden, .skip, .out, svg, option")) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(1)} ${node.className} ${text.textContent.trim().slice(0, 30)}`);
  }
  return poor;
}"""
"""Texts that stand out from what is behind them by less than WCAG's 4.5 to 1."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_light_and_dark_and_fits_every_width(
    browser: Any, expect: Any, told: Serving, scheme: str
) -> None:
    page = Page(browser, told.admin_url, color_scheme=scheme, reduced_motion="reduce")
    tab = page.tab
    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in dark[4:-1].split(",")) < 384) == (scheme == "dark")
    page.example()
    page.ask()
    expect(tab.locator("#stage")).to_contain_text("Done in")
    tab.get_by_label("Steer s2").fill("-2")
    tab.get_by_text("Options").click()
    expect(tab.locator("#unsteered")).to_be_visible()
    expect(tab.locator("#stage")).to_contain_text("Done in")
    assert tab.evaluate(CONTRAST) == []
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth") == width
    page.close()


def test_a_browser_gets_in_with_a_token_for_a_password(browser: Any, expect: Any, tmp_path: Path) -> None:
    keys = Keys(tmp_path)

    def opened(name: str) -> Page:
        return Page(browser, closed.admin_url, http_credentials={"username": "me", "password": keys.token(name)})

    with serving(ui=True, tokens=keys.file) as closed:
        page = opened("both")
        page.example()
        page.ask()
        expect(page.tab.locator("#answer")).to_have_text("The sources disagree.")
        page.close()
        page = opened("admin")
        page.example()
        page.ask()
        expect(page.tab.locator("#failure")).to_contain_text("--scope admin --scope guard")
        page.context.close()
