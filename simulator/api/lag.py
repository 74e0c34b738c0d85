"""Read lag: how old the state is that reads show, for each kind and each way of reading it.

The old documentation says that list data "may be several seconds old". Single reads, lists and bulk lists can lag
differently, as replicas do.
"""

from __future__ import annotations

from collections.abc import Mapping

from simulator.api.address import READS, Read
from simulator.practice.kinds import KINDS


class Lag:
    """Seconds of lag by kind and read (`single`, `list`, `bulk`)."""

    def __init__(self, seconds: float = 0.0, endpoints: Mapping[str, float] | None = None) -> None:
        self._seconds: dict[tuple[str, Read], float] = {}
        self.set(seconds)
        for endpoint, lag in (endpoints or {}).items():
            kind, read = parse_endpoint(endpoint)
            self.set(lag, kind=kind, read=read)

    def seconds(self, kind: str, read: Read) -> float:
        return self._seconds[kind, read]

    def set(self, seconds: float, *, kind: str | None = None, read: str | None = None) -> None:
        """Set the lag of a kind and read; None means all. Raises ValueError if it is negative or a name is unknown."""
        if seconds < 0:
            raise ValueError("lag must not be negative")
        if kind not in (None, *KINDS) or read not in (None, *READS):
            raise ValueError(f"no endpoint {kind}/{read}: kinds are {', '.join(KINDS)}; reads are {', '.join(READS)}")
        for each in KINDS:
            for way in READS:
                if kind in (None, each) and read in (None, way):
                    self._seconds[each, way] = seconds

    def as_json(self) -> dict[str, dict[str, float]]:
        return {kind: {read: self._seconds[kind, read] for read in READS} for kind in KINDS}


def parse_endpoint(text: str) -> tuple[str | None, str | None]:
    """Return kind and read of `patients/list`, `patients` (all reads) or `list` (all kinds)."""
    if text in READS:
        return None, text
    kind, _, read = text.partition("/")
    return kind, read or None
