"use strict";
// Replaces each part of the page that the server sends again.

const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy("console", { createHTML: (text) => text })
  : { createHTML: (text) => text };
const live = document.getElementById("live");
const news = document.getElementById("news"); // screen readers announce only the beginning and the end of a problem
const pause = document.getElementById("pause");
const waiting = new Map();
let stream = null;

function show(part, html) {
  const place = document.querySelector(`[data-part="${part}"]`);
  // Do not replace a part that has the focus. It is replaced when it loses the focus.
  if (place.contains(document.activeElement)) {
    waiting.set(part, html);
    return;
  }
  waiting.delete(part);
  const before = troubled();
  const scrolled = place.querySelector(".scroll");
  const top = scrolled ? scrolled.scrollTop : 0;
  place.innerHTML = policy.createHTML(html);
  if (part === "verdict" && troubled() !== before) {
    news.textContent = place.querySelector("strong").textContent;
  }
  const again = place.querySelector(".scroll");
  if (again) {
    again.scrollTop = top;
  }
}

function troubled() {
  return document.querySelector(".verdict.bad") !== null;
}

function say(text) {
  if (live.textContent !== text) {
    live.textContent = text;
  }
}

function listen() {
  stream = new EventSource("/stream");
  stream.addEventListener("open", () => say("Live"));
  stream.addEventListener("part", (event) => {
    const { part, html } = JSON.parse(event.data);
    show(part, html);
  });
  stream.addEventListener("error", () => say("Not connected: does the console still run?"));
}

document.addEventListener("focusout", () => {
  setTimeout(() => waiting.forEach((html, part) => show(part, html)), 0);
});

pause.hidden = false;
pause.addEventListener("click", () => {
  const paused = pause.getAttribute("aria-pressed") !== "true";
  pause.setAttribute("aria-pressed", String(paused));
  if (paused) {
    stream.close();
    say("Paused");
  } else {
    listen();
  }
});

listen();
