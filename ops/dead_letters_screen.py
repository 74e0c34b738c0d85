"""Dead letters on the screen."""

from __future__ import annotations

from ops.screen import Screen, table


def show_letters(screen: Screen, letters: list[dict[str, str]], *, json: bool) -> None:
    if json:
        screen.json(letters)
        return
    if not letters:
        screen.say("There are no dead letters.")
        return
    shown = table("number", "published", "event", "record", "problem")
    for each in letters:
        record = f"{each['kind']}/{each['id']}" if each["id"] else each["kind"]
        shown.add_row(each["number"], each["published_at"][:16], each["event"], record, each["problem"] or "readable")
    screen.show(shown)
