"""Generated doctors and offices, with the fields of DrChrono's API schema."""

from __future__ import annotations

from random import Random

from simulator.practice import vocabulary
from simulator.practice.patients import phone
from simulator.practice.store import Fields

PRACTICE_GROUP = 4321


def doctors(rng: Random, count: int, zone: str) -> list[Fields]:
    made = []
    for index in range(count):
        first, last = rng.choice(vocabulary.FEMALE_NAMES + vocabulary.MALE_NAMES), rng.choice(vocabulary.LAST_NAMES)
        made.append(
            {
                "id": 320_101 + 7 * index,
                "first_name": first,
                "last_name": last,
                "suffix": "MD",
                "specialty": rng.choice(("Family Medicine", "Internal Medicine", "Pediatrics")),
                "job_title": "Provider/Staff (Private Practice)",
                "email": f"doctor{index + 1}@practice.example",
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
        )
    return made


def offices(rng: Random, doctor: int) -> list[Fields]:
    return [
        {
            "id": 330_201 + index,
            "name": name,
            "doctor": doctor,
            "address": f"{rng.randrange(1, 999)} {rng.choice(vocabulary.STREETS)}",
            "city": place[0],
            "state": place[1],
            "zip_code": place[2],
            "country": "US",
            "phone_number": phone(rng),
            "fax_number": "",
            "tax_id_number_professional": "",
            "start_time": "08:00:00",
            "end_time": "17:00:00",
            "online_scheduling": False,
            "archived": False,
            "exam_rooms": [{"index": room, "name": f"Exam {room}", "online_scheduling": False} for room in (1, 2, 3)],
        }
        for index, (name, place) in enumerate(zip(("Main Office", "Harbor Clinic"), vocabulary.PLACES, strict=False))
    ]
