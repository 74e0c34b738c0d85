"""The console in a real Chromium: it fills while the system works, is used by keyboard, and fits phone and harness."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from local.browser import Browser
from local.control import Control
from tests.console.conftest import KEY, Console, now
from tests.console.test_pages import NAME, filled, first, waits
from tests.local.test_demo import read_until, started

TAB, ENTER, SPACE = "\ue004", "\ue007", " "

# Every interactive element must have a name, every table header its scope, every image a text.
UNNAMED = """
return [...document.querySelectorAll('a, button, input:not([type=hidden]), select, svg, progress')].filter(e =>
  !(e.innerText || e.getAttribute('aria-label') || (e.labels && e.labels.length))
).map(e => e.outerHTML.slice(0, 100))"""

# WCAG contrast of each element's own text with the nearest background, below 4.5.
PALE = """
const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => (v /= 255) <= 0.04045 ? v / 12.92 :
  ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const back = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
  if (!c.endsWith(', 0)')) return c; } return 'rgb(255, 255, 255)'; };
return [...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(n => n.nodeType === 3 &&
  n.textContent.trim()) && !e.closest('svg, option, noscript, .skip, .hidden')).map(e => {
  const [a, b] = [light(getComputedStyle(e).color), light(back(e))].sort((x, y) => y - x);
  return [(a + 0.05) / (b + 0.05), e.outerHTML.slice(0, 80)]; }).filter(([ratio]) => ratio < 4.5)"""


def enter(browser: Browser, console: Console) -> None:
    browser.open(f"{console.url}/enter?key={KEY}")
    browser.until(lambda: browser.text("#live") == "Live", "the page does not get live")


def test_the_page_fills_while_a_local_run_works_and_names_nobody(browser: Browser, tmp_path: Path) -> None:
    with started("run", "--backend", "embedded", "--patients", "20", "--home", str(tmp_path)) as process:
        said = read_until(process, "/enter?key=")
        browser.open(said.split()[-1])
        browser.until(lambda: browser.text("#live") == "Live", "the page does not get live")
        browser.until(lambda: re.search(r"patients\s+\d", browser.text(".kinds")), "no table of kinds")
        read_until(process, "The copy equals the truth.")
        browser.until(lambda: re.search(r"^patients\s+23\b", browser.text(".kinds"), re.M), "patients do not fill")
        browser.until(lambda: "PATIENT_MODIFY" in browser.text(".arrivals"), "no webhook is among the arrivals")
        browser.until(lambda: "p50" in browser.text("[data-part=charts] .said"), "no delay is told")
        assert browser.run("return document.querySelectorAll('svg circle.p95').length") > 0
        assert browser.run("return document.querySelector('polyline').points.numberOfItems") > 3
        simulator = re.search(r"DrChrono simulator +(\S+)", said)
        assert simulator
        shown = browser.source()
        for name in ("patients", "appointments", "medications"):
            fields = [
                str(record[field])
                for record in Control(simulator[1]).truth(name).values()
                for field in ("last_name", "email", "address", "reason", "date_of_birth", "rxnorm")
                if len(str(record.get(field) or "")) > 4
            ]
            assert fields
            assert [text for text in fields if re.search(rf"\b{re.escape(text)}\b", shown)] == []
        assert browser.complaints() == []


def test_an_action_by_keyboard_asks_first_and_says_what_it_did(browser: Browser, console: Console) -> None:
    target = waits(console, "forbidden")
    enter(browser, console)
    for _ in range(20):
        browser.keys(TAB)
        if browser.run("return document.activeElement.getAttribute('aria-label')") == "Retry forbidden":
            break
    browser.keys(ENTER)
    browser.until(lambda: "Try 1 entry again" in browser.text("h1"), "it does not ask")
    assert console.practice.system.queue().get(target).due > now()  # type: ignore[union-attr]
    for _ in range(6):
        browser.keys(TAB)
        if browser.run("return document.activeElement.innerText") == "Try again now":
            break
    browser.keys(ENTER)
    browser.until(lambda: "is due now." in browser.text("#done"), "it does not say what it did")
    assert console.practice.system.queue().get(target).due <= now()  # type: ignore[union-attr]
    assert browser.complaints() == []


def test_deletions_are_not_accepted_before_the_box_is_ticked(browser: Browser, console: Console) -> None:
    filled(console)
    waits(console, "deletions_held", first(console))
    enter(browser, console)
    browser.open(f"{console.url}/confirm/accept-deletions?kind=patients")
    browser.click("button.primary")
    assert "/confirm/" in browser.url
    browser.click("input[type=checkbox]")
    browser.click("button.primary")
    browser.until(lambda: "are accepted for 24 hours" in browser.text("#done"), "they are not accepted")


def test_a_part_that_has_the_focus_waits_with_its_news(browser: Browser, console: Console) -> None:
    waits(console, "forbidden")
    enter(browser, console)
    browser.run("document.querySelector('.pending a').focus()")
    waits(console, "quota", "2")
    browser.until(lambda: re.search(r"^patients.*\b2$", browser.text(".kinds"), re.M), "the other parts do not follow")
    assert "quota" not in browser.text(".pending")
    assert browser.run("return document.activeElement.getAttribute('aria-label')") == "Retry forbidden"
    browser.run("document.activeElement.blur()")
    browser.until(lambda: "quota" in browser.text(".pending"), "the news do not come when the focus leaves")


def test_it_can_be_paused_and_says_when_the_console_is_gone(browser: Browser, console: Console) -> None:
    enter(browser, console)
    browser.click("#pause")
    assert browser.text("#live") == "Paused"
    waits(console, "quota")
    assert "quota" not in browser.text("[data-part=pending]")
    browser.click("#pause")
    browser.until(lambda: "quota" in browser.text(".pending"), "it does not go on")
    console.watch.end()
    browser.until(lambda: browser.text("#live").startswith("Not connected"), "the end is not noticed")


def test_trouble_is_read_aloud_when_it_begins_and_when_it_ends(browser: Browser, console: Console) -> None:
    filled(console)
    enter(browser, console)
    assert browser.text("#news") == ""
    documents = console.practice.system.documents()
    documents.transact(lambda transaction: transaction.set("sync_state/deletions-patients", {"held_since": now()}))
    console.watch.refresh()
    browser.until(lambda: browser.text("#news") == "1 problem", "the trouble is not told")
    assert "too many are absent since" in browser.text(".problems")
    assert browser.run("return document.querySelector('.problems a').getAttribute('href')").endswith("?kind=patients")
    documents.transact(lambda transaction: transaction.delete("sync_state/deletions-patients"))
    console.watch.refresh()
    browser.until(lambda: browser.text("#news") == "Complete", "its end is not told")
    assert browser.text(".problems") == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_phone_and_desk_and_is_readable_in_light_and_dark(
    browser: Browser, console: Console, scheme: str
) -> None:
    filled(console)
    waits(console, "deletions_held", first(console))
    waits(console, "forbidden", "a-very-long-id-" * 8, "clinical_notes")
    key = first(console)
    browser.prefer(scheme)
    enter(browser, console)
    paths = ("/", f"/record?kind=patients&id={key}", "/confirm/accept-deletions?kind=patients", "/dead-letters")
    for path in paths:
        browser.open(console.url + path)
        for width in (400, 1600):
            browser.resize(width, 1000, mobile=width < 500)
            assert browser.run("return document.documentElement.scrollWidth") <= width, (path, width)
            assert browser.run(PALE) == [], (path, width)
        assert browser.run(UNNAMED) == []
        assert browser.run("return document.querySelectorAll('th:not([scope])').length") == 0
        assert browser.run("return [document.documentElement.lang, document.querySelectorAll('h1').length]") == [
            "en",
            1,
        ]
    dark = browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(15, 21, 27)"
    assert dark == (scheme == "dark")


def test_another_page_in_the_same_browser_gets_nothing(browser: Browser, console: Console) -> None:
    """It has the cookie, and is even on the same host: only its origin is another."""
    filled(console)
    enter(browser, console)
    other = console.practice.simulator.url
    browser.open(f"{other}/o/authorize/")
    read = """
    return fetch(arguments[0], {credentials: 'include', mode: arguments[1]}).then(r => r.text(), e => 'refused')"""
    record = f"{console.url}/record?kind=patients&id={first(console)}"
    assert browser.run(read, record, "cors") == "refused"
    assert NAME not in browser.run(read, record, "no-cors")
    send = """
    return fetch(arguments[0], {credentials: 'include', mode: 'no-cors', method: 'POST',
      body: new URLSearchParams({kind: 'patients', id: arguments[1]})}).then(r => r.type, e => 'refused')"""
    browser.run(send, f"{console.url}/do/fetch", first(console))
    assert console.practice.system.queue().waiting() == 0
