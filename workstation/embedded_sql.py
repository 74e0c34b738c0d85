"""Queries of the embedded store as SQL on its table `documents`, and its rows as documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from shared.documents import Data, Where
from workstation.embedded_json import instant, loads


def select(fields: Sequence[str]) -> str:
    """Return a SELECT of the id and the document. With fields, it selects an array of their values instead, and the
    type of each, which is null if the document has no such field.
    """
    if not fields:
        return "select id, data from documents"
    paths = [_json_path(name) for name in fields]
    values = ", ".join(paths if len(paths) > 1 else paths * 2)  # of two paths or more SQLite makes an array
    types = ", ".join(f"json_type(data, {path})" for path in paths)
    return f"select id, json_extract(data, {values}), {types} from documents"  # noqa: S608 (built from own names)


def document(found: Sequence[Any], fields: Sequence[str]) -> Data:
    text, *types = found
    loaded = loads(text)
    return {name: loaded[at] for at, name in enumerate(fields) if types[at] is not None} if fields else loaded


def where_clauses(collection: str, where: Sequence[Where]) -> tuple[list[str], list[Any]]:
    """Return the conditions of a query and the values of their placeholders."""
    conditions, values = ["collection = ?"], [collection]
    for field, op, value in where:
        path = extract(field)
        if isinstance(value, datetime):
            path, value = extract(f"{field}.$time"), instant(value)
        # As in Firestore, values of another type never match.
        kind = "'text'" if isinstance(value, str) else "'integer', 'real'"
        conditions.append(f"typeof({path}) in ({kind}) and {path} {op.replace('==', '=')} ?")
        values.append(value)
    return conditions, values


def extract(field: str) -> str:
    return f"json_extract(data, {_json_path(*field.split('.'))})"


def _json_path(*names: str) -> str:
    path = "".join(f'."{name}"' for name in names)
    return f"'${path}'"
