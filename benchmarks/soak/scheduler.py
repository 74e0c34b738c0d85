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
MOST_AT_ONCE = 4


class Scheduler:
    """Starts jobs within a `with` block. answers: how often each result of `word_of` occurred.

    Like Cloud Scheduler, it skips a run instead of starting it late.
    """

    def __init__(self, url: str, seed: int) -> None:
        self.answers: Counter[str] = Counter()
        self._url = url
        self._rng = Random(f"{seed} scheduler")
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="job")
        self._free = threading.Semaphore(MOST_AT_ONCE)
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
                self._start("reconcile")
            elif luck < RECONCILE_SHARE + REFRESH_SHARE:
                self._start("refresh-token", force=True)
            # Sometimes two at once: one of them must notice that the other is running.
            for _ in range(2 if self._rng.random() < TOGETHER_SHARE else 1):
                self._start("sync", force=True)

    def _start(self, job: str, **more: bool) -> None:
        if self._free.acquire(blocking=False):
            self._pool.submit(self._run, job, **more)

    def _run(self, job: str, **more: bool) -> None:
        try:
            self.answers[word_of(self._url, job, **more)] += 1
        finally:
            self._free.release()


def word_of(url: str, job: str, **more: bool | str) -> str:
    """Start a job. Return `finished`, why the run stopped, the HTTP status, or `broken off` if no answer came."""
    try:
        answer = requests.post(url, json={"job": job, **more}, timeout=JOB_SECONDS)
    except requests.RequestException:
        return "broken off"
    if answer.status_code != 200:
        return str(answer.status_code)
    return str(answer.json()["stopped"] or "finished")
