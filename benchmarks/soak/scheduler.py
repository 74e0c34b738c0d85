"""A fast Cloud Scheduler: starts jobs every few seconds, sometimes two at once, and counts their results."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

import requests

# Jobs that Cloud Scheduler starts every five minutes, or every day, start every few seconds.
SYNC_SECONDS = (1.0, 4.0)
RECONCILE_SHARE, REFRESH_SHARE, TOGETHER_SHARE = 0.04, 0.08, 0.25
JOB_SECONDS = 60.0


class Scheduler:
    """Starts jobs within a `with` block. answers: how often each result of `word_of` occurred."""

    def __init__(self, url: str, seed: int) -> None:
        self.answers: Counter[str] = Counter()
        self._url = url
        self._rng = Random(f"{seed} scheduler")
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="job")
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Scheduler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._pool.shutdown()

    def _work(self) -> None:
        while not self._ended.wait(self._rng.uniform(*SYNC_SECONDS)):
            luck = self._rng.random()
            if luck < RECONCILE_SHARE:
                self._pool.submit(self._run, "reconcile")
            elif luck < RECONCILE_SHARE + REFRESH_SHARE:
                self._pool.submit(self._run, "refresh-token", force=True)
            # Sometimes two at once: one of them must notice that the other is running.
            for _ in range(2 if self._rng.random() < TOGETHER_SHARE else 1):
                self._pool.submit(self._run, "sync", force=True)

    def _run(self, job: str, **more: bool) -> None:
        self.answers[word_of(self._url, job, **more)] += 1


def word_of(url: str, job: str, **more: bool | str) -> str:
    """Start a job. Return `finished`, why the run stopped, the HTTP status, or `broken off` if no answer came."""
    try:
        answer = requests.post(url, json={"job": job, **more}, timeout=JOB_SECONDS)
    except requests.RequestException:
        return "broken off"
    if answer.status_code != 200:
        return str(answer.status_code)
    return str(answer.json()["stopped"] or "finished")
