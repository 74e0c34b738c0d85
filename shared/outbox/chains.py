"""Which entries are sent in sequence, and which concurrently."""

from __future__ import annotations

import contextvars
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from shared.outbox.queries import Due

Chain = Callable[[Sequence[Due]], Counter[str]]
Each = Callable[[Chain, Sequence[Sequence[Due]]], list[Counter[str]]]

# Concurrent requests. DrChrono throttles ten or more within one second; each takes some tenths of a second.
AT_ONCE = 8


def chains(found: Iterable[Due]) -> list[list[Due]]:
    """Return the entries by target, each chain in the order in which the entries were requested."""
    by_target: dict[str, list[Due]] = {}
    for due in found:
        by_target.setdefault(due.target or f"new:{due.key}", []).append(due)
    return [sorted(chain, key=lambda due: (due.asked, due.key)) for chain in by_target.values()]


def in_threads(work: Chain, todo: Sequence[Sequence[Due]]) -> list[Counter[str]]:
    """Run AT_ONCE at a time. After an error, start no more, wait for those that run, and raise it."""
    if len(todo) < 2:
        return [work(chain) for chain in todo]
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="outbox") as pool:
        futures = [pool.submit(contextvars.copy_context().run, work, chain) for chain in todo]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            future.cancel()
    return [future.result() for future in futures if not future.cancelled()]
