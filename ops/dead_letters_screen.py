"""Dead letters on the screen."""

from __future__ import annotations

from ops.screen import Screen, table


def show_messages(screen: Screen, messages: list[dict[str, str]], *, json: bool) -> None:
    """messages: as `DeadLetter.shown` returns them."""
    if json:
        screen.json(messages)
        return
    if not messages:
        screen.say("There are no dead letters.")
        return
    shown = table("number", "published", "event", "record", "problem")
    for each in messages:
        record = f"{each['kind']}/{each['id']}" if each["id"] else each["kind"]
        shown.add_row(each["number"], each["published_at"][:16], each["event"], record, each["problem"] or "readable")
    screen.show(shown)
