"""What the live page shows, how it is steered, and whether everybody can use it: keys, light and dark, every width."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.scripted import Serving, eventually, raising
from tests.serving.page.opened import ANSWER, HOSTILE, Page
from xmguard.errors import InvalidRequest

WIDTHS = (320, 380, 390, 800, 1280, 1600)


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


def test_layers_are_drawn_of_the_mean_the_largest_or_one_of_their_heads(page: Page, expect: Any) -> None:
    tab = page.tab
    page.example()
    page.ask()
    expect(tab.locator("#stage")).to_contain_text("Done in")
    heads, first = tab.get_by_label("Heads of each layer"), tab.locator("#heat .strip").first
    expect(heads.locator("option")).to_have_text(["mean over heads", "largest of the heads", "head 0", "head 1"])
    said = {"max": "s1: most in layer 4, 1.6, head 0", "0": "s1: most in layer 4, 1.6", "1": "s1: most in layer 0, 0"}
    for choice, words in said.items():
        heads.select_option(choice)
        expect(first).to_have_attribute("aria-label", words)
    heads.select_option("0")
    tab.get_by_text("As numbers").click()
    expect(tab.locator("#heat-numbers tbody tr").last).to_have_text("41.60.8")
    tab.get_by_label("Steer s1").fill("-2")
    expect(tab.locator("#unsteered")).to_be_visible()
    expect(heads).to_have_value("0")
    expect(first).to_have_attribute("aria-label", "s1, before: most in layer 4, 1.6")


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
    browser: Any, expect: Any, told: Serving, scripted: Any, scheme: str
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
    scripted(raising(InvalidRequest.field("spans[1].language", "is no tag")))
    page.ask()
    expect(tab.get_by_text("The language is no tag.")).to_be_visible()
    assert tab.evaluate(CONTRAST) == []
    page.complaints = [said for said in page.complaints if "status of 4" not in said]  # the browser's own words
    page.close()
