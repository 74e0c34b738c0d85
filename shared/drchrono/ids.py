"""Ids of DrChrono's records: as text, as names of documents, and in URLs. Pure.

Ids are whole numbers or texts ("usually numeric, not always": appointments, and `rootSeries_YYYYMMDD` of a recurring
series). Each is kept. A plain id, of letters, digits, `_`, `-`, `.` and `~`, is the name of its document as it is; any
other is percent-encoded there (RFC 3986), which is one to one and is undone by any library's `unquote`.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

# Firestore takes names of up to 1,500 bytes, of which the queue needs some for the kind.
LONGEST_NAME = 1_400

# No id has thousands of digits, and Python refuses to write such a number.
LARGEST_NUMBER = 10**100

# Names that Firestore reserves or that a path would resolve.
_RESERVED = re.compile(r"\.{1,2}|__.*__", re.DOTALL)


def id_of(value: object) -> str | None:
    """An id that DrChrono gave as text, or None where it is none: empty, no text and no whole number, or too long."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    if isinstance(value, str):
        return value if is_id(value) else None
    return str(value) if abs(value) < LARGEST_NUMBER else None


def spellings(id: str) -> list[int | str]:  # noqa: A002 (DrChrono's word)
    """The values by which a record may name another one with this id: DrChrono writes numbers in some, text in others.

    Whole numbers over 64 bits are not kept as such.
    """
    return [int(id), id] if id.isascii() and id.isdigit() and len(id) < 19 and str(int(id)) == id else [id]


def is_id(text: str) -> bool:
    try:
        return 0 < len(document_id(text)) <= LONGEST_NAME
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def document_id(id: str) -> str:  # noqa: A002 (DrChrono's word)
    """The name of the document that stands for `id`. Raises UnicodeEncodeError where it is no `is_id`."""
    if id.isascii() and id.isalnum():
        return id  # nearly all
    name = quote(id, safe="")
    if _RESERVED.fullmatch(name):
        return f"%{ord(name[0]):02X}{name[1:]}"
    return name


def id_of_document(name: str) -> str:
    """The id that `document_id` made `name` of."""
    return unquote(name)
