"""Compares the copy with DrChrono's records, one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.documents import Documents
from shared.drchrono.ids import id_of_document
from shared.drchrono.kinds import Kind
from shared.records.storable import META, digest, join

Records = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Difference:
    """fields: the names of the fields that differ; empty if the record is `missing` or `extra` in the copy."""

    kind: str
    id: str
    what: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}:{self.id} {self.what}" + (f" in {', '.join(self.fields)}" if self.fields else "")


def copied(documents: Documents, kind: Kind) -> dict[str, dict[str, Any]]:
    """Return the copy's records of a kind by id, as DrChrono sent them, without deleted ones."""
    found = documents.query(kind.name)
    return {id_of_document(name): join(data) for name, data in found if not data[META]["deleted"]}


def differences(kind: Kind, truth: Records, copy: Records) -> list[Difference]:
    """Return the differences in the order of ids. The signatures of URLs are ignored."""
    found = []
    for key in sorted(truth.keys() | copy.keys()):
        if key not in copy:
            found.append(Difference(kind.name, key, "missing"))
        elif key not in truth:
            found.append(Difference(kind.name, key, "extra"))
        elif fields := _differing(truth[key], copy[key]):
            found.append(Difference(kind.name, key, "differs", fields))
    return found


def _differing(truth: Mapping[str, Any], copy: Mapping[str, Any]) -> tuple[str, ...]:
    def seen(record: Mapping[str, Any], name: str) -> str | None:
        return digest({name: record[name]}) if name in record else None

    return tuple(name for name in sorted(truth.keys() | copy.keys()) if seen(truth, name) != seen(copy, name))
