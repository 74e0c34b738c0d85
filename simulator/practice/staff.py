"""Generated doctors, offices, users and appointment profiles, with the fields of DrChrono's API schema."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from simulator.practice import vocabulary
from simulator.practice.kinds import DOCTORS, OFFICES, PROFILES, USERS
from simulator.practice.patients import phone
from simulator.practice.store import Fields

PRACTICE_GROUP = 4321
CURRENT_USER = 270_011
"""Id of the user who authorized the application, the first doctor."""
PROFILE_IDS = (51_001, 51_002)


def doctor(rng: Random, number: int, zone: str) -> Fields:
    first = rng.choice(vocabulary.FEMALE_NAMES + vocabulary.MALE_NAMES)
    return {
        "id": number,
        "first_name": first,
        "last_name": rng.choice(vocabulary.LAST_NAMES),
        "suffix": "MD",
        "specialty": rng.choice(("Family Medicine", "Internal Medicine", "Pediatrics")),
        "job_title": "Provider/Staff (Private Practice)",
        "email": f"doctor{number}@practice.example",
        "cell_phone": "",
        "home_phone": "",
        "office_phone": phone(rng),
        "website": "",
        "country": "US",
        "timezone": zone,
        "npi_number": f"1{rng.randrange(10**9):09d}",
        "group_npi_number": "",
        "practice_group": PRACTICE_GROUP,
        "practice_group_name": "Harbor Family Practice",
        "profile_picture": None,
        "is_account_suspended": False,
    }


def office(rng: Random, number: int, doctor: int, name: str = "Branch Office") -> Fields:
    """Return an office. It has no time zone."""
    address = f"{rng.randrange(1, 999)} {rng.choice(vocabulary.STREETS)}"
    city, state, zip_code = vocabulary.PLACES[number % len(vocabulary.PLACES)]
    return {
        "id": number,
        "name": name,
        "doctor": doctor,
        "address": address,
        "city": city,
        "state": state,
        "zip_code": zip_code,
        "country": "US",
        "phone_number": phone(rng),
        "fax_number": "",
        "tax_id_number_professional": "",
        "start_time": "08:00:00",
        "end_time": "17:00:00",
        "online_scheduling": False,
        "online_timeslots": [],
        "archived": False,
        "exam_rooms": [{"index": room, "name": f"Exam {room}", "online_scheduling": False} for room in (1, 2, 3)],
    }


def user(number: int, username: str, doctor: int, *, is_doctor: bool, share_patients: bool | None) -> Fields:
    """Return a user. `doctor` is the user's own doctor record, or the doctor that a staff member works for.

    The permission names are those that the schema requires of endpoints. `share_patients` adds one of that name;
    whether the live service has it is unknown.
    """
    permissions = {"manage-patients": True, "scheduling": True, "clinical-notes": True, "billing": is_doctor}
    if share_patients is not None:
        permissions["share_patients"] = share_patients
    return {
        "id": number,
        "username": username,
        "doctor": doctor,
        "practice_group": PRACTICE_GROUP,
        "is_doctor": is_doctor,
        "is_staff": not is_doctor,
        "permissions": permissions,
    }


def profile(number: int, doctor: int, name: str, minutes: int) -> Fields:
    return {
        "id": number,
        "doctor": doctor,
        "name": name,
        "duration": minutes,
        "reason": name,
        "color": "#2f7ed8",
        "sort_order": number % 100,
        "online_scheduling": False,
        "archived": False,
    }


def staff(rng: Random, doctors: int, zone: str, *, share_patients: bool | None) -> dict[str, list[Fields]]:
    """Return the initial records of the practice by kind, with `doctors` doctors."""
    first = 320_101
    numbers = [first + 7 * index for index in range(doctors)]
    names = ("simulated", *(f"doctor{number}" for number in numbers[1:]))
    users = [
        user(CURRENT_USER + index, names[index], number, is_doctor=True, share_patients=share_patients)
        for index, number in enumerate(numbers)
    ]
    desk = user(CURRENT_USER + doctors, "frontdesk", first, is_doctor=False, share_patients=share_patients)
    return {
        DOCTORS: [doctor(rng, number, zone) for number in numbers],
        OFFICES: [
            office(rng, 330_201 + index, first, name) for index, name in enumerate(("Main Office", "Harbor Clinic"))
        ],
        USERS: [*users, desk],
        PROFILES: [
            profile(number, first, name, minutes)
            for number, name, minutes in zip(PROFILE_IDS, ("New Patient", "Follow-up"), (45, 15), strict=True)
        ],
    }


def draft(kind: str, rng: Random, doctor_id: int, zone: str) -> Fields:
    """Return a generated new record without its id."""
    makers: dict[str, Callable[[], Fields]] = {
        DOCTORS: lambda: doctor(rng, 0, zone),
        OFFICES: lambda: office(rng, 0, doctor_id),
        USERS: lambda: user(0, f"user{rng.randrange(10**6)}", doctor_id, is_doctor=False, share_patients=None),
        PROFILES: lambda: profile(0, doctor_id, rng.choice(vocabulary.REASONS), rng.choice((15, 30, 60))),
    }
    return makers[kind]()


def edit(kind: str, rng: Random, fields: Fields) -> Fields:
    """Return a plausible edit."""
    match kind:
        case "doctors":
            return {"website": f"https://practice.example/{rng.randrange(10**6)}"}
        case "offices":
            return {"fax_number": f"(555) 555-{rng.randrange(10**4):04d}" if not fields["fax_number"] else ""}
        case "users":
            return {"username": f"user{rng.randrange(10**6)}"}
        case _:
            return {"duration": int(fields["duration"]) + 5}
