"""Ids of records as names of documents. Pure.

An id of letters, digits, `_`, `-`, `.` and `~` is the name of its document. Any other id is percent-encoded (RFC 3986),
and so are the names that Firestore reserves.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

_RESERVED = re.compile(r"\.{1,2}|__.*__", re.DOTALL)


def document_id(id: str | int) -> str:  # noqa: A002 (DrChrono's word)
    """Return the name of the document of the record `id`. Raises ValueError if no record can have that id."""
    text = str(id)
    if not text:
        raise ValueError("an id is not empty")
    # UnicodeEncodeError, for half of a surrogate pair, is a ValueError.
    name = quote(text, safe="")
    return f"%{ord(name[0]):02X}{name[1:]}" if _RESERVED.fullmatch(name) else name


def id_of_document(name: str) -> str:
    """Return the id of the record that the document `name` holds."""
    return unquote(name)
