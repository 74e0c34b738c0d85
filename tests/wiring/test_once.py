"""Parts are built at their first use, once, by whichever thread comes first."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.wiring.once import Once


def test_threads_that_come_at_once_get_the_same_value() -> None:
    built: list[object] = []
    together = threading.Barrier(8)

    def build() -> object:
        built.append(object())
        return built[-1]

    once = Once(build)

    def use() -> object:
        together.wait()
        return once()

    with ThreadPoolExecutor(8) as pool:
        values = [future.result() for future in [pool.submit(use) for _ in range(8)]]
    assert len(built) == 1
    assert all(value is built[0] for value in values)


def test_a_value_that_could_not_be_built_is_built_at_the_next_call() -> None:
    answers = iter([OSError("not yet"), None])

    def build() -> str:
        error = next(answers)
        if error is not None:
            raise error
        return "built"

    once = Once(build)
    with pytest.raises(OSError, match="not yet"):
        once()
    assert once() == "built"
