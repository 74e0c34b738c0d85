"""Keep the list of reminders to send before appointments: a function on the change feed of the copy.

The collection `reminders` has one document for each appointment, under the appointment's id. It follows from the
copied appointment and from `sent_for`:

    appointment, patient   their ids
    version                the appointment's version when this was written: an earlier one changes nothing
    at                     when the appointment takes place; null if nobody is to be reminded of it
    send_at                when to send the reminder; null if there is none to send
    sent_for               the `at` for which a reminder was sent

`remind` receives the messages of the feed. Cloud Scheduler calls `look_ahead` once an hour to find what no message
announces, such as a doctor's new time zone. The program that sends calls `due`, and `sent` afterwards.
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
    """Bring the reminder up to date with the message. If this raises, Pub/Sub delivers the message again."""
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
    """Return the feed's message. Raises ValueError: after some attempts, the message becomes a dead letter."""
    try:
        change: dict[str, Any] = json.loads(base64.b64decode(event.data["message"]["data"]))
        types = {"id": str, "version": int, "replay": bool} if change["operation"] != "filled" else {"kind": str}
        if isinstance(change["kind"], str) and all(isinstance(change[name], of) for name, of in types.items()):
            return change
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError("this is not a message of the change feed: is another topic subscribed?")


def plan_all(now: datetime) -> int:
    """Plan each upcoming appointment, and return how many there are."""
    upcoming = list(copy().appointments.where("_sync.scheduled_at", ">=", now).with_deleted())
    for appointment in upcoming:
        plan(appointment)
    return len(upcoming)


def plan(appointment: Record) -> None:
    """Write the appointment's reminder, unless a later version of the appointment was seen before.

    The version and its effect are one document, written in one transaction, so a crash cannot separate them.
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
    """Return an appointment's reminder. Pure."""
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
    """Yield the reminders to send at `now`. Compare each with the copy first, because the feed may be late."""
    query = database().collection("reminders").where(filter=firestore.FieldFilter("send_at", "<=", now))
    for snapshot in query.where(filter=firestore.FieldFilter("send_at", ">", now - BEFORE)).stream():
        found = snapshot.to_dict() or {}
        appointment = copy().appointments.get(found["appointment"])
        if appointment is not None and planned(appointment, found["sent_for"]) == found:
            yield found


def sent(sent_reminder: dict[str, Any]) -> None:
    """Record that a reminder of `due` was sent. If the appointment was moved meanwhile, another is already planned."""
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
    """A separate database, so that this program needs only read access to the copy."""
    name = os.environ.get("REMINDERS_DATABASE", "reminders")
    return firestore.Client(project=os.environ.get("GCP_PROJECT"), database=name)


@cache
def copy() -> Copy:
    return Copy.from_environment(os.environ)
