"""Detects whether the service speaks the guide's list protocol or the live one, by trying."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from shared.drchrono.calls import GUIDE, Call
from shared.drchrono.records import Page
from shared.errors import BadRequest, BulkNotReady, DrChronoError, MalformedAnswer, NotFound, ServerError

# How a service answers a list protocol that it doesn't know. While none is known to work, ServerError counts as well.
REFUSALS = (BadRequest, NotFound, MalformedAnswer)


class ListProtocol:
    """detected: the `detected` of an earlier client of the same service; None if there was none."""

    def __init__(self, detected: Mapping[str, str] | None = None) -> None:
        self._detected = dict(detected or {})

    @property
    def detected(self) -> Mapping[str, str] | None:
        """Return the detected protocol in JSON values; None if unknown."""
        return dict(self._detected) or None

    def pages(self, protocols: Mapping[str, Call], walk: Callable[[Call], Iterator[Page]]) -> Iterator[Page]:
        """Yield the list by the known protocol, by default the guide's. If the service refuses, try the other one.

        protocols: the first call of the list in each protocol. walk: yields the pages of the list that a call begins.
        """
        refusals: list[DrChronoError] = []
        refused = REFUSALS if self._detected else (*REFUSALS, ServerError)
        for name in sorted(protocols, key=lambda name: name != self._detected.get("lists", GUIDE)):
            begun = False
            try:
                for page in walk(protocols[name]):
                    begun = True
                    self._remember(name, protocols)
                    yield page
                return
            except BulkNotReady:
                self._remember(name, protocols)
                raise
            except refused as error:
                if begun:
                    raise
                refusals.append(error)
        raise min(refusals if self._detected else refusals[::-1], key=_rank)

    def _remember(self, name: str, protocols: Mapping[str, Call]) -> None:
        if len(protocols) > 1:
            self._detected["lists"] = name


def _rank(refusal: DrChronoError) -> int:
    """Rank a refusal. Raised first: one that may pass by itself, then one that rejects the request's content."""
    if isinstance(refusal, ServerError):
        return 0
    return 1 if refusal.status == 400 else 2
