"""The parts of the start page, sent again whenever they change (html.spec.whatwg.org, server-sent events)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from console.watch import Seen, Watch

# Templates in parts/.
PARTS = ("verdict", "problems", "kinds", "charts", "arrivals", "pending", "outbox", "facts")

# A closed connection is noticed only when something is written to it.
BEAT_SECONDS = 15.0
MOST_STREAMS = 20


class Streams:
    """render: returns the HTML of a part."""

    def __init__(self, watch: Watch, render: Callable[[str, Seen], str]) -> None:
        self._watch = watch
        self._render = render
        self._open: list[object] = []

    @property
    def full(self) -> bool:
        return len(self._open) >= MOST_STREAMS

    def events(self) -> Iterator[str]:
        """Yield every part, and then those that change, until the reader leaves or the console ends."""
        mine = object()
        self._open.append(mine)
        try:
            sent: dict[str, str] = {}
            version = -1
            while not self._watch.ended:
                seen = self._watch.next(version, BEAT_SECONDS)
                changed = seen.version != version and seen.status is not None
                version = seen.version
                if not changed:
                    yield ": still here\n\n"
                    continue
                yield from self._changed(seen, sent)
        finally:
            self._open.remove(mine)

    def _changed(self, seen: Seen, sent: dict[str, str]) -> Iterator[str]:
        for part in PARTS:
            html = self._render(part, seen)
            if sent.get(part) != html:
                sent[part] = html
                yield f"event: part\ndata: {json.dumps({'part': part, 'html': html})}\n\n"
