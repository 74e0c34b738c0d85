"""Chunks of a page: as many records, and as many bytes, as one commit may take, and not one more."""

from __future__ import annotations

from shared.drchrono.kinds import KINDS
from shared.records.prepared import CHUNK_BYTES, CHUNK_RECORDS, Prepared, chunks, prepare

PATIENTS = KINDS["patients"]


def of_size(key: int, size: int) -> Prepared:
    """A record whose canonical text has exactly so many bytes."""
    empty = len(prepare(PATIENTS, str(key), {"id": key, "text": ""}).text)
    made = prepare(PATIENTS, str(key), {"id": key, "text": "x" * (size - empty)})
    assert len(made.text) == size
    return made


def sizes(*records: int) -> list[list[int]]:
    return [[len(one.text) for one in chunk] for chunk in chunks(map(of_size, range(len(records)), records))]


def test_a_chunk_holds_exactly_so_many_bytes() -> None:
    half = CHUNK_BYTES // 2
    assert sizes(half, CHUNK_BYTES - half) == [[half, CHUNK_BYTES - half]]
    assert sizes(half, CHUNK_BYTES - half + 1) == [[half], [CHUNK_BYTES - half + 1]]


def test_the_bytes_of_a_chunk_are_counted_anew() -> None:
    third = CHUNK_BYTES // 3
    assert [len(chunk) for chunk in sizes(*[third] * 9)] == [3, 3, 3]


def test_a_record_that_is_larger_than_a_chunk_goes_alone() -> None:
    assert [len(chunk) for chunk in sizes(5_000, CHUNK_BYTES + 1, 5_000)] == [1, 1, 1]


def test_a_chunk_holds_exactly_so_many_records() -> None:
    small = [prepare(PATIENTS, str(key), {"id": key}) for key in range(2 * CHUNK_RECORDS + 1)]
    assert [len(chunk) for chunk in chunks(small)] == [CHUNK_RECORDS, CHUNK_RECORDS, 1]
    assert [one.key for chunk in chunks(small) for one in chunk] == [one.key for one in small]
    assert list(chunks([])) == []
