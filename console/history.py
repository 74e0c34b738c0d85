"""The data of the charts: delays and requests by slices of time. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ops.lag import percentile

SLICES = 60
SPANS = tuple(timedelta(minutes=minutes) for minutes in (2, 5, 10, 60))
LONG = SPANS[-1]
FINE = timedelta(minutes=10)  # fewer samples are kept of what is older


@dataclass(frozen=True)
class Slice:
    """p50, p95: seconds. ago: how many slices before now, from 0."""

    ago: int
    p50: float
    p95: float
    records: int


@dataclass(frozen=True)
class Sample:
    """used: requests in each window of the quota at that time, by the window's length in seconds."""

    at: datetime
    used: dict[int, int]


def span(began: datetime | None, now: datetime) -> timedelta:
    """Return the span of a chart: an hour, or less if nothing is older. began: the oldest item."""
    return next((span for span in SPANS if began is None or now - began <= span), LONG)


def delays(found: Iterable[tuple[datetime, float]], now: datetime, shown: timedelta) -> list[Slice]:
    """found: when each record was stored, and its delay in seconds. Omit empty slices; newest last."""
    width = shown / SLICES
    by_slice: dict[int, list[float]] = defaultdict(list)
    for at, seconds in found:
        ago = max(0, (now - at) // width)
        if ago < SLICES:
            by_slice[ago].append(seconds)
    return [
        Slice(ago, percentile(sorted(some), 0.5), percentile(sorted(some), 0.95), len(some))
        for ago, some in sorted(by_slice.items(), reverse=True)
    ]


def used(samples: Sequence[Sample], window_seconds: int, now: datetime, shown: timedelta) -> list[tuple[float, int]]:
    """Return the position of each sample (0: start of the span, 1: now) and the requests used then, oldest first."""
    return [
        (1 - (now - sample.at) / shown, sample.used[window_seconds])
        for sample in samples
        if now - shown <= sample.at <= now and window_seconds in sample.used
    ]


def thinned(samples: Sequence[Sample], now: datetime) -> list[Sample]:
    """Drop samples older than an hour, and thin those older than ten minutes to one in ten seconds."""
    kept: list[Sample] = []
    for sample in samples:
        old = now - sample.at > FINE
        if now - sample.at <= LONG and not (old and kept and sample.at - kept[-1].at < timedelta(seconds=10)):
            kept.append(sample)
    return kept
