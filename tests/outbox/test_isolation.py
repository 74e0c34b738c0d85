"""One trouble stops only itself: an entry, the outbox, the copy."""

from __future__ import annotations

from typing import Any

import pytest

from shared.documents import Documents
from shared.errors import StoreUnavailable
from shared.jobs.sync import sync
from shared.outbox.entries import State
from shared.outbox.sender import Sender
from tests.mortal import MortalDocuments
from tests.outbox.harness import harness


class Unreachable(MortalDocuments):
    """A database that is not there."""

    def _live(self) -> None:
        raise StoreUnavailable("no such database")


def test_the_copy_is_kept_current_where_the_outbox_cannot_be_reached(embedded: Documents) -> None:
    with harness(embedded) as at:
        at.work = at.new_work(Unreachable(embedded, 0))
        run = at.run(sync)
        assert run.unfinished == {("outbox", "entries"): "store_unavailable"}
        assert at.positions.get("patients").synced_at is not None


def test_an_entry_that_makes_the_sender_stumble_keeps_no_other_from_its_turn(
    embedded: Documents, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with harness(embedded) as at:
        keys = [at.new_patient(last_name=name) for name in ("Berg", "Planted-Canary", "Dahl")]
        send = Sender.send

        def stumbling(self: Sender, key: str) -> Any:
            if key == keys[1]:
                raise ZeroDivisionError("Planted-Canary")
            return send(self, key)

        monkeypatch.setattr(Sender, "send", stumbling)
        at.pass_over()
        assert [at.document(key).get("state") for key in keys] == ["done", None, "done"]
        monkeypatch.setattr(Sender, "send", send)
        at.pass_over()
        assert at.entry(keys[1]).state is State.DONE
        assert "Planted-Canary" not in capsys.readouterr().out


def test_without_writers_the_sync_asks_the_outbox_nothing(embedded: Documents) -> None:
    with harness(embedded) as at:
        at.new_patient()
        asked: list[str] = []
        query = embedded.query

        def counted(collection: str, *args: Any, **options: Any) -> Any:
            asked.append(collection)
            return query(collection, *args, **options)

        embedded.query = counted  # type: ignore[method-assign]
        at.work = None  # type: ignore[assignment]
        at.run(sync)
        assert asked
        assert not {"outbox", "outbox_targets"} & set(asked)
        assert at.simulator.stats()["writes"] == 0
