"""Local times of appointments as instants, across the clock changes in every zone of the United States."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.records.ordering import Verdict
from shared.records.scheduled import scheduled_at, zone_of, zone_path
from shared.records.storable import META, digest
from shared.records.store import Records, Source
from tests.records.test_ordering import NOON

APPOINTMENTS, DOCTORS = KINDS["appointments"], KINDS["doctors"]

# Hours behind UTC in winter and in summer of 2026, from the law and not from the code: the Uniform Time Act, and those
# that are exempt from it. The names are those of the service (`US/…`) and those of the IANA database.
ZONES = {
    "US/Eastern": (5, 4),
    "America/New_York": (5, 4),
    "US/Michigan": (5, 4),
    "US/East-Indiana": (5, 4),
    "US/Central": (6, 5),
    "America/Chicago": (6, 5),
    "US/Indiana-Starke": (6, 5),
    "US/Mountain": (7, 6),
    "America/Denver": (7, 6),
    "Navajo": (7, 6),
    "US/Arizona": (7, 7),
    "America/Phoenix": (7, 7),
    "US/Pacific": (8, 7),
    "America/Los_Angeles": (8, 7),
    "US/Alaska": (9, 8),
    "America/Anchorage": (9, 8),
    "US/Aleutian": (10, 9),
    "US/Hawaii": (10, 10),
    "Pacific/Honolulu": (10, 10),
    "US/Samoa": (11, 11),
    "America/Puerto_Rico": (4, 4),
    "America/St_Thomas": (4, 4),
    "Pacific/Guam": (-10, -10),
    "Pacific/Saipan": (-10, -10),
}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@pytest.mark.parametrize("zone", ZONES)
def test_winter_and_summer_times_are_converted_in_every_zone(zone: str) -> None:
    winter, summer = ZONES[zone]
    assert scheduled_at("2026-01-15T09:30:00", zone) == utc("2026-01-15T09:30:00") + timedelta(hours=winter)
    assert scheduled_at("2026-07-15T09:30:00", zone) == utc("2026-07-15T09:30:00") + timedelta(hours=summer)


@pytest.mark.parametrize("zone", [zone for zone, (winter, summer) in ZONES.items() if winter != summer])
def test_repeated_and_skipped_times_follow_the_two_rules(zone: str) -> None:
    """8 March and 1 November 2026 at two o'clock, in each zone by its own clock."""
    winter, summer = (timedelta(hours=hours) for hours in ZONES[zone])
    spring = {
        "2026-03-08T01:59:59": winter,
        # An hour that does not occur: the offset before the change, so that clocks show an hour more.
        "2026-03-08T02:00:00": winter,
        "2026-03-08T02:30:00": winter,
        "2026-03-08T02:59:59": winter,
        "2026-03-08T03:00:00": summer,
        "2026-03-08T03:30:00": summer,
    }
    autumn = {
        "2026-11-01T00:59:59": summer,
        # An hour that occurs twice: the first of the two.
        "2026-11-01T01:00:00": summer,
        "2026-11-01T01:30:00": summer,
        "2026-11-01T01:59:59": summer,
        "2026-11-01T02:00:00": winter,
    }
    for text, offset in (spring | autumn).items():
        assert scheduled_at(text, zone) == utc(text) + offset, text


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2037, 12, 31)),  # noqa: DTZ001 (local)
    st.sampled_from(sorted(ZONES)),
)
@example(datetime(2026, 3, 8, 2, 30), "US/Pacific")  # noqa: DTZ001
@example(datetime(2026, 11, 1, 1, 30), "US/Eastern")  # noqa: DTZ001
def test_an_instant_shows_the_local_time_it_was_made_of_or_lies_in_a_gap(local: datetime, zone: str) -> None:
    """Also the first such instant: no earlier one shows the same time."""
    local = local.replace(microsecond=0)
    found = scheduled_at(local.isoformat(), zone)
    assert found is not None
    assert found.tzinfo is timezone.utc
    there = ZoneInfo(zone)

    def shown(instant: datetime) -> datetime:
        return instant.astimezone(there).replace(tzinfo=None)

    hours = [found + timedelta(minutes=minutes) for minutes in range(-180, 181, 15)]
    showing = [instant for instant in hours if shown(instant) == local]
    if showing:
        assert found == min(showing)
    else:
        assert timedelta(0) < shown(found) - local <= timedelta(hours=1)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2035, 12, 31)), st.sampled_from(sorted(ZONES)))  # noqa: DTZ001
def test_every_instant_is_found_from_its_local_time_except_in_the_second_of_two_hours(
    moment: datetime, zone: str
) -> None:
    instant = moment.replace(tzinfo=timezone.utc, microsecond=0)
    local = instant.astimezone(ZoneInfo(zone))
    expected = instant - timedelta(hours=1) if local.fold else instant
    assert scheduled_at(local.replace(tzinfo=None).isoformat(), zone) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "2026-03-10", "09:00", "2026-3-10T09:00:00", "2026-02-30T09:00:00", "2026-03-10T24:61:00"),
        *(
            "2026-W10-2T09:00:00",
            "20260310T090000",
            " 2026-03-10T09:00:00",
            "2026-03-10T09:00:00\n",
            "٢٠٢٦-03-10T09:00",
        ),
        *(None, 1773154800, 1.5, True, [], {}, "0000-01-01T00:00:00", "2026-03-10T09:00:00+99:00", "\ud800"),
    ],
)
def test_a_text_that_is_not_a_time_has_no_instant(text: object) -> None:
    assert scheduled_at(text, "US/Eastern") is None


@pytest.mark.parametrize(
    "zone",
    [
        *("", "Eastern", "us/eastern", "US", "America", "US/Eastern/", "../../etc/passwd", "/etc/localtime", "A" * 400),
        *("localtime", "posixrules", "right/US/Eastern", "posix/US/Eastern", "Factory", "US/East\x00ern", "US/Éastern"),
    ],
)
def test_without_a_known_zone_there_is_no_instant(zone: str) -> None:
    assert scheduled_at("2026-03-10T09:00:00", zone) is None
    assert zone_of({"timezone": zone}) == ""


def test_a_malformed_zone_or_a_missing_doctor_is_an_unknown_zone() -> None:
    for doctor in (None, {}, {"timezone": None}, {"timezone": 5}, {"timezone": ["US/Eastern"]}):
        assert zone_of(doctor) == ""


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_a_time_at_the_end_of_the_calendar_raises_nothing(text: str) -> None:
    assert scheduled_at(text, "US/Hawaii") in (None, utc("0001-01-01T10:00:00") + timedelta(minutes=31, seconds=26))
    scheduled_at(text, "Pacific/Guam")


def test_a_text_with_an_offset_needs_no_zone() -> None:
    assert scheduled_at("2026-03-10T09:00:00-05:00", "") == utc("2026-03-10T14:00:00")
    assert scheduled_at("2026-03-10T09:00:00Z", "US/Pacific") == utc("2026-03-10T09:00:00")
    assert scheduled_at("2026-03-10 09:00", "US/Pacific") == utc("2026-03-10T16:00:00")


def test_only_an_appointment_with_a_doctor_has_a_zone() -> None:
    assert zone_path(APPOINTMENTS, {"doctor": 7}) == "doctors/7"
    assert zone_path(APPOINTMENTS, {"doctor": "a/b"}) == "doctors/a%2Fb"
    for kind, record in ((APPOINTMENTS, {}), (APPOINTMENTS, {"doctor": None}), (KINDS["patients"], {"doctor": 7})):
        assert zone_path(kind, record) is None


# Storing


def visit(key: int, **fields: Any) -> dict[str, Any]:
    return {"id": key, "doctor": 7, "scheduled_time": "2026-07-15T09:30:00", **fields}


def stored(documents: Documents, key: int) -> Any:
    return (documents.get(f"appointments/{key}") or {})[META].get("scheduled_at")


def records(documents: Documents, *doctors: dict[str, Any]) -> Records:
    made = Records(documents, lambda: NOON)
    made.pages.store(DOCTORS, doctors, NOON, Source("sync"))
    return made


def test_an_appointment_has_its_instant_however_it_is_stored(documents: Documents) -> None:
    made = records(documents, {"id": 7, "timezone": "US/Pacific"}, {"id": 8, "timezone": "US/Arizona"})
    made.store(APPOINTMENTS, "1", visit(1), NOON, Source("webhook"))
    page = [visit(2), visit(3, doctor=8), visit(4, doctor=9), visit(5, scheduled_time=""), visit(6, doctor=None)]
    made.pages.store(APPOINTMENTS, page, NOON, Source("backfill"))
    assert [stored(documents, key) for key in range(1, 7)] == [
        utc("2026-07-15T16:30:00"),
        utc("2026-07-15T16:30:00"),
        utc("2026-07-15T16:30:00"),
        None,
        None,
        None,
    ]
    for key in (4, 5, 6):
        assert "scheduled_at" not in (documents.get(f"appointments/{key}") or {})[META]


def test_the_instant_changes_with_the_appointment_and_outlives_a_look_and_a_deletion(documents: Documents) -> None:
    made = records(documents, {"id": 7, "timezone": "US/Eastern"})

    def store(minutes: int, **fields: Any) -> Verdict:
        began = NOON + timedelta(minutes=minutes)
        return made.store(APPOINTMENTS, "1", visit(1, **fields), began, Source("webhook")).verdict

    assert store(0) is Verdict.STORE
    assert store(10) is Verdict.SAME
    assert stored(documents, 1) == utc("2026-07-15T13:30:00")
    assert store(20, scheduled_time="2026-12-15T09:30:00") is Verdict.STORE
    assert stored(documents, 1) == utc("2026-12-15T14:30:00")
    made.mark_deleted(APPOINTMENTS, "1", NOON + timedelta(hours=1), Source("webhook"), "deleted_flag", stated=True)
    assert stored(documents, 1) == utc("2026-12-15T14:30:00")
    assert store(120, scheduled_time=None) is Verdict.STORE
    assert stored(documents, 1) is None


def test_the_digest_does_not_include_the_instant(documents: Documents) -> None:
    made = records(documents)
    made.store(APPOINTMENTS, "1", visit(1), NOON, Source("sync"))
    without = (documents.get("appointments/1") or {})[META]["digest"]
    records(documents, {"id": 7, "timezone": "US/Eastern"})
    again = made.store(APPOINTMENTS, "1", visit(1), NOON + timedelta(hours=1), Source("sync"))
    assert again.verdict is Verdict.SAME
    assert without == digest(visit(1))
