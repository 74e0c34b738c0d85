"""Keep the list of reminders to send before appointments: a function on the change feed of the copy.

The collection `reminders` has one document for each appointment, under the appointment's id. It follows from the
appointment as the copy has it, and from `sent_for`:

    appointment, patient   their ids
    version                of the appointment, when this was written: an earlier one changes nothing
    at                     when the appointment takes place; null where nobody is to be reminded of it
    send_at                when to send the reminder; null where there is none to send
    sent_for               the `at` for which a reminder was sent

`remind` takes the messages of the feed. Cloud Scheduler calls `look_ahead` once an hour: it finds what no message says,
such as a doctor's new time zone. A program that sends asks `due`, and says `sent` afterwards.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

import flask
import functions_framework
from cloudevents.http import CloudEvent
from google.cloud import firestore

from drchrono_reader import Copy, Record
from drchrono_reader.ids import document_id

BEFORE = timedelta(days=1)
NOT_REMINDED = ("Arrived", "Checked In", "In Room", "In Session", "Complete", "Cancelled", "Rescheduled", "No Show")


@functions_framework.cloud_event
def remind(event: CloudEvent) -> None:
    """Return when the reminder follows from the message. Whatever is raised has Pub/Sub deliver it again."""
    change = read(event)
    if change["kind"] != "appointments":
        return
    if change["operation"] == "filled":
        plan_all(datetime.now(timezone.utc))
        return
    known = reminder(change["id"]).get().to_dict()
    if known is not None and known["version"] >= change["version"] and not change["replay"]:
        return  # delivered twice, or covered by a later message
    appointment = copy().appointments.get(change["id"], deleted=True)
    if appointment is not None:
        plan(appointment)


@functions_framework.http
def look_ahead(request: flask.Request) -> dict[str, int]:
    return {"appointments": plan_all(datetime.now(timezone.utc))}


def read(event: CloudEvent) -> dict[str, Any]:
    """Return what the feed said. Raises ValueError: after some attempts, the message is a dead letter."""
    try:
        change: dict[str, Any] = json.loads(base64.b64decode(event.data["message"]["data"]))
        told = {"id": str, "version": int, "replay": bool} if change["operation"] != "filled" else {"kind": str}
        if isinstance(change["kind"], str) and all(isinstance(change[name], of) for name, of in told.items()):
            return change
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError("a message is none of the change feed: is another topic subscribed?")


def plan_all(now: datetime) -> int:
    """Plan for each appointment to come, and return their number."""
    upcoming = list(copy().appointments.where("_sync.scheduled_at", ">=", now).with_deleted())
    for appointment in upcoming:
        plan(appointment)
    return len(upcoming)


def plan(appointment: Record) -> None:
    """Write the reminder as it follows from the appointment, unless a later version of that was seen before.

    The version and its effect are one document, written in one transaction: there is no moment between them to die in.
    """
    reference = reminder(appointment.id)

    @firestore.transactional
    def keep(transaction: firestore.Transaction) -> None:
        before = reference.get(transaction=transaction).to_dict()
        if before is None or before["version"] <= appointment.version:
            after = planned(appointment, (before or {}).get("sent_for"))
            if after != before:
                transaction.set(reference, after)

    keep(database().transaction())


def planned(appointment: Record, sent_for: datetime | None) -> dict[str, Any]:
    """Return the reminder of an appointment. Pure."""
    patient, at = appointment.get("patient"), appointment.scheduled_at
    if appointment.deleted or patient is None or appointment.get("status") in NOT_REMINDED:
        at = None
    return {
        "appointment": appointment.id,
        "patient": patient,
        "version": appointment.version,
        "at": at,
        "send_at": None if at is None or at == sent_for else at - BEFORE,
        "sent_for": sent_for,
    }


def due(now: datetime) -> Iterator[dict[str, Any]]:
    """Yield the reminders to send at `now`. Each is compared with the copy once more: the feed may be late."""
    query = database().collection("reminders").where(filter=firestore.FieldFilter("send_at", "<=", now))
    for snapshot in query.where(filter=firestore.FieldFilter("send_at", ">", now - BEFORE)).stream():
        found = snapshot.to_dict() or {}
        appointment = copy().appointments.get(found["appointment"])
        if appointment is not None and planned(appointment, found["sent_for"]) == found:
            yield found


def sent(sent_reminder: dict[str, Any]) -> None:
    """Note that a reminder of `due` was sent. Where the appointment moved meanwhile, another is planned already."""
    reference = reminder(sent_reminder["appointment"])

    @firestore.transactional
    def note(transaction: firestore.Transaction) -> None:
        if reference.get(["at"], transaction=transaction).get("at") == sent_reminder["at"]:
            transaction.update(reference, {"sent_for": sent_reminder["at"], "send_at": None})

    note(database().transaction())


def reminder(appointment_id: str) -> firestore.DocumentReference:
    return database().collection("reminders").document(document_id(appointment_id))


@cache
def database() -> firestore.Client:
    """A database of its own: this program may then write there, and only read the copy."""
    name = os.environ.get("REMINDERS_DATABASE", "reminders")
    return firestore.Client(project=os.environ.get("GCP_PROJECT"), database=name)


@cache
def copy() -> Copy:
    return Copy.from_environment(os.environ)
