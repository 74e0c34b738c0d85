"""Cursors of plain lists: opaque texts that name where the next page starts."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode


@dataclass(frozen=True)
class Cursor:
    """The start of a page: a record's position, or with offset paging the number of records before it."""

    start: int = 0
    page: int = 1
    """Number of the page, which faults can match."""

    def text(self) -> str:
        return base64.urlsafe_b64encode(urlencode({"p": self.start, "n": self.page}).encode()).decode()

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """Return the cursor of a text, the first page for an empty text, or None if it is unreadable."""
        if not text:
            return cls()
        try:
            fields = dict(parse_qsl(base64.urlsafe_b64decode(text).decode()))
            return cls(int(fields["p"]), int(fields["n"]))
        except (binascii.Error, KeyError, ValueError):
            return None
