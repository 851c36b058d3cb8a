"""Asking on the live page of the real server, in a real browser, around a scripted guard."""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from tests.scripted import ScriptedGuard, Serving, blocked, eventually, raising, serving
from tests.serving.auth_matrix import Keys
from tests.serving.page.opened import HOSTILE, Page, telling
from xmguard.deadline import Stop
from xmguard.errors import ErrorCode, FieldViolation, InvalidRequest, Reason, XmguardError
from xmguard.request import AnswerRequest, OnError
from xmguard.response import Delta, Event, ModelInfo


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


WRONG_TAG = 'is no BCP-47 tag such as "en" or "pt-BR"'


def test_a_language_is_a_name_of_the_list_or_any_tag_and_a_wrong_one_is_told_at_its_field(
    browser: Any, expect: Any
) -> None:
    guard = Reading(telling)
    with serving(load=lambda: guard, ui=True) as server:
        assert server.loaded.wait(20)
        page = Page(browser, server.admin_url)
        tab = page.tab
        expect(tab.locator("#languages option")).to_have_count(2)
        names = tab.locator("#languages option").evaluate_all("every => every.map((one) => one.value)")
        assert names == ["English", "Spanish"]
        page.example()
        first, second = (tab.get_by_label(f"Language of source {number}") for number in ("s1", "s2"))
        expect(first).to_have_value("English")
        first.fill(" spanish")
        second.fill("pt-BR")
        page.ask()
        expect(tab.locator("#stage")).to_contain_text("Done in")
        assert [span.language for span in guard.calls[-1][0].spans] == ["es", "pt-BR"]
        first.fill("EN")
        second.focus()
        expect(first).to_have_value("English")
        first.fill("")
        second.fill("Portuguese")
        guard.script = raising(InvalidRequest.field("spans[1].language", WRONG_TAG))
        page.ask()
        expect(tab.locator("#cards .problem").locator("visible=true")).to_have_text(f"The language {WRONG_TAG}.")
        expect(second).to_be_focused()
        expect(second).to_have_attribute("aria-invalid", "true")
        expect(second).to_have_accessible_description(re.compile(f"pt-BR, or leave it empty .* {WRONG_TAG}"))
        expect(tab.get_by_label("Text of source s2")).not_to_have_attribute("aria-invalid", "true")
        assert [span.language for span in guard.calls[-1][0].spans] == ["", "Portuguese"]
        tab.keyboard.type("pt")  # in the place of what was wrong
        expect(second).to_have_value("pt")
        expect(tab.locator("#cards .problem").locator("visible=true")).to_have_count(0)
        expect(second).not_to_have_attribute("aria-invalid", "true")
        page.complaints = [said for said in page.complaints if "status of 4" not in said]  # the browser's own words
        page.close()


def test_pictures_are_not_asked_for_where_none_is_read(browser: Any, expect: Any) -> None:
    with serving(load=lambda: Reading(telling), ui=True) as server:
        assert server.loaded.wait(20)
        page = Page(browser, server.admin_url)
        expect(page.tab.locator("#served")).to_contain_text("reads text")
        expect(page.tab.get_by_role("button", name="Add a picture")).to_be_hidden()
        carry(page, "drop", "dataTransfer")
        expect(page.tab.locator("#sources-problem")).to_contain_text("reads no pictures")
        assert page.tab.locator(".card img").count() == 0
        page.close()


class Reading(ScriptedGuard):
    """A guard that says which languages it knows, and that it reads texts alone."""

    def describe(self, model: str = "") -> ModelInfo:
        return replace(super().describe(model), languages=("en", "es"), modalities=("text",))


def picture() -> bytes:
    made = BytesIO()
    Image.new("RGB", (30, 20), "green").save(made, "PNG")
    return made.getvalue()


def carry(page: Page, event: str, carrier: str) -> None:
    """Drop or paste a picture."""
    page.tab.evaluate(
        """([event, carrier, data]) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const file = new File([bytes], "door.png", {type: "image/png"});
            const carried = new DataTransfer();
            carried.items.add(file);
            const kind = event === "drop" ? DragEvent : ClipboardEvent;
            const happened = new kind(event, {bubbles: true, cancelable: true, [carrier]: carried});
            document.getElementById("question").dispatchEvent(happened);
        }""",
        [event, carrier, base64.b64encode(picture()).decode()],
    )


def test_pictures_are_dropped_pasted_and_chosen_and_sent(page: Page, expect: Any, told: Serving) -> None:
    tab = page.tab
    tab.get_by_label("Text of source s1").fill("The door is red.")
    for event, carrier in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        carry(page, event, carrier)
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
    expect(tab.locator("#cards .problem").locator("visible=true")).to_have_text(f"The text is empty {HOSTILE}.")
    expect(tab.get_by_text("The question is empty.")).to_be_visible()
    expect(tab.get_by_label("Text of source s2")).to_be_focused()
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


def test_what_was_cancelled_before_anything_was_heard_shows_nothing(
    page: Page, expect: Any, told: Serving, scripted: Any
) -> None:
    def silent(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
        while True:
            stop.check()
            time.sleep(0.002)
            yield from ()

    tab = page.tab
    scripted(silent)
    page.example()
    page.ask()
    expect(tab.locator("#spans")).to_contain_text("Tarn")
    expect(tab.locator("#spans .measures").first).to_be_hidden()
    tab.get_by_role("button", name="Cancel").click()
    expect(tab.locator("#stage")).to_have_text("Cancelled.")
    expect(tab.locator("#outcome")).to_be_hidden()
    scripted(telling)
    page.ask()
    expect(tab.locator("#stage")).to_contain_text("Done in")
    scripted(silent)
    tab.get_by_label("Steer s1").fill("2")
    expect(tab.locator("#outcome.stale.working")).to_be_visible()
    tab.get_by_role("button", name="Cancel").click()
    expect(tab.locator("#outcome.stale:not(.working)")).to_be_visible()  # what the numbers are of is no longer chosen
    expect(tab.get_by_text("What the guard answers")).to_be_hidden()


def test_an_answer_without_a_verdict_can_be_asked_for(page: Page, expect: Any, told: Serving) -> None:
    tab = page.tab
    page.example()
    page.ask()
    expect(tab.locator("#stage")).to_contain_text("Done in")
    assert told.guard.calls[-1][0].on_error is OnError.CLOSED
    tab.get_by_text("Options").click()
    tab.get_by_label("If that cannot be established").select_option("answer all the same")
    page.ask()
    expect(tab.locator("#stage")).to_contain_text("Done in")
    eventually(lambda: told.guard.calls[-1][0].on_error is OnError.OPEN)


def test_the_answer_is_in_sight_once_it_is_asked_for(page: Page, expect: Any) -> None:
    tab = page.tab
    tab.set_viewport_size({"width": 1280, "height": 300})
    page.example()
    page.ask()
    expect(tab.locator("#stage")).to_contain_text("Done in")
    expect(tab.get_by_role("heading", name="Answer", exact=True)).to_be_in_viewport()


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
