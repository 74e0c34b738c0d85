"""Detects whether the service speaks the guide's list protocol or the live one, by trying."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from shared.drchrono.calls import GUIDE, LIVE, PLAIN, Call
from shared.drchrono.kinds import Kind
from shared.drchrono.records import Page
from shared.errors import (
    BadRequest,
    BulkExpired,
    BulkNotReady,
    DrChronoError,
    Forbidden,
    ListRepeats,
    MalformedAnswer,
    NotFound,
    ServerError,
    Unreachable,
)

# How a service answers a list protocol that it doesn't know. While none is known to work, ServerError counts as well.
REFUSALS = (BadRequest, NotFound, MalformedAnswer)

# After these too, a kind with a second list that the live service is known to answer is read by that one.
FAILURES = (*REFUSALS, ServerError, Unreachable, Forbidden, BulkExpired)


class ListProtocol:
    """detected: the `detected` of an earlier client of the same service; None if there was none."""

    def __init__(self, detected: Mapping[str, str] | None = None) -> None:
        self._detected = dict(detected or {})

    @property
    def detected(self) -> Mapping[str, str] | None:
        """Return the detected protocol in JSON values; None if unknown."""
        return dict(self._detected) or None

    def pages(
        self, kind: Kind, protocols: Mapping[str, Call], walk: Callable[[Call], Iterator[Page]]
    ) -> Iterator[Page]:
        """Yield the list by the known protocol, by default the guide's. If the service refuses, try the other one.

        protocols: the first call of the list in each protocol. walk: yields the pages of the list that a call begins.
        """
        refusals: list[DrChronoError] = []
        refused: tuple[type[DrChronoError], ...] = REFUSALS if self._detected else (*REFUSALS, ServerError)
        if PLAIN in protocols:
            refused = FAILURES
        for name in self._order(kind, protocols):
            begun = False
            try:
                for page in walk(protocols[name]):
                    begun = True
                    self._remember(kind, name, protocols, refusals)
                    yield page
                return
            except BulkNotReady:
                self._remember(kind, name, protocols, refusals)
                raise
            except refused as error:
                if begun or isinstance(error, ListRepeats):
                    raise  # it was answered in this protocol
                refusals.append(error)
        raise min(refusals if self._detected else refusals[::-1], key=_rank)

    def _order(self, kind: Kind, protocols: Mapping[str, Call]) -> list[str]:
        """Return which of the protocols to try, in this order.

        The plain list of a kind without a bulk list in the guide is answered by both services, so it shows nothing. The
        kind's live lists are tried only if other kinds have shown that the service is the live one.
        """
        lists = self._detected.get("lists", GUIDE)
        if PLAIN not in protocols:
            return sorted(protocols, key=lambda name: name != lists)
        if lists != LIVE:
            return [GUIDE]
        first = PLAIN if self._detected.get(kind.name) == PLAIN else LIVE
        return [name for name in dict.fromkeys((first, PLAIN, GUIDE)) if name in protocols]

    def _remember(
        self, kind: Kind, name: str, protocols: Mapping[str, Call], refusals: Sequence[DrChronoError]
    ) -> None:
        if PLAIN not in protocols:
            if len(protocols) > 1:
                self._detected["lists"] = name
        elif LIVE in protocols and any(isinstance(error, REFUSALS) for error in refusals[:1]):
            self._detected[kind.name] = PLAIN  # only this list is refused


def _rank(refusal: DrChronoError) -> int:
    """Rank a refusal. Raised first: one that may pass by itself, then one that rejects the request's content."""
    if isinstance(refusal, ServerError):
        return 0
    return 1 if refusal.status == 400 else 2
