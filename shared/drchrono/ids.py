"""Ids of DrChrono's records: as text, as names of documents, and in URLs. Pure.

Ids are whole numbers or texts ("usually numeric, not always": appointments, and `rootSeries_YYYYMMDD` of a recurring
series). The name of a record's document is its id, percent-encoded (RFC 3986). ASCII letters, digits, `_`, `-`, `.` and
`~` stay as they are. The encoding is one to one, and every URL library can decode it.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

# Firestore allows names of 1,500 bytes. The queue needs some of them for the kind.
LONGEST_NAME = 1_400

# Python refuses to convert numbers of thousands of digits to text. No real id is that long.
LARGEST_NUMBER = 10**100

# Names that Firestore reserves or that a path would resolve.
_RESERVED = re.compile(r"\.{1,2}|__.*__", re.DOTALL)


def id_of(value: object) -> str | None:
    """Return an id from DrChrono as text. None if it is empty, too long, or neither a text nor a whole number."""
    if isinstance(value, str):
        return value if is_id(value) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return str(value) if abs(value) < LARGEST_NUMBER else None


def spellings(id: str) -> list[int | str]:  # noqa: A002 (DrChrono's word)
    """Return the values by which another record may name this id: DrChrono writes ids as numbers in some places, as
    text in others.

    Whole numbers over 64 bits have no number form in the copy.
    """
    return [int(id), id] if id.isascii() and id.isdigit() and len(id) < 19 and str(int(id)) == id else [id]


def is_id(text: str) -> bool:
    try:
        return 0 < len(document_id(text)) <= LONGEST_NAME
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def document_id(id: str) -> str:  # noqa: A002 (DrChrono's word)
    """Return the name of the document of `id`. May raise UnicodeEncodeError if `is_id` is false."""
    if id.isascii() and id.isalnum():
        return id  # the common case
    name = quote(id, safe="")
    if _RESERVED.fullmatch(name):
        return f"%{ord(name[0]):02X}{name[1:]}"
    return name


def id_of_document(name: str) -> str:
    """Return the id for which `document_id` returned `name`."""
    return unquote(name)
