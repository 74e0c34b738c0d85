"""The pages: routes, and what each shows. An error becomes a sentence, without content of a record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import flask
from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as Answer

from console import charts, records
from console.actions import ACTIONS, FIELDS, KIND_NAMES, NotPossible
from console.guard import HEADERS, Guard, Refused
from console.stream import Streams
from console.view import overview
from console.watch import Seen, Watch
from ops.compare import BadKey
from ops.dead_letters import dead_letters
from ops.screen import ago, clock, many
from ops.session import location
from ops.status import MOST_DEAD_LETTERS
from ops.target_system import TargetSystem
from shared.errors import SyncError

MOST_DONE = 20  # how many finished actions are shown
MOST_FORM_BYTES = 256 * 1024


def application(target: TargetSystem, watch: Watch, guard: Guard, now: Callable[[], datetime]) -> Flask:
    """Return the console of `target`, for everyone whom `guard` admits."""
    app = Flask("console", root_path=str(Path(__file__).parent))
    app.config["MAX_CONTENT_LENGTH"] = MOST_FORM_BYTES
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {"clock": clock, "delay": charts.seconds}
    app.jinja_env.globals |= {
        "many": many, "ago": ago, "command": target.command, "kinds": KIND_NAMES, "axes": charts,
    }  # fmt: skip

    def page(template: str, status: int = 200, **values: object) -> Response:
        text = render_template(template, target=target.name, token=guard.token, **values)
        return Response(text, status, mimetype="text/html")

    _protect(app, guard)
    _tell_errors(app, page)
    _start_page(app, watch, page, now)
    _actions(app, target, watch, page, now)
    _records(app, target, page, now)
    return app


Page = Callable[..., Response]


def _refusal(refused: Refused) -> Response:
    """Refuse without revealing anything, not even the project's name."""
    text = render_template("message.html", target="", title="Not shown", text=refused.because)
    return Response(text, refused.status, mimetype="text/html")


def _protect(app: Flask, guard: Guard) -> None:
    @app.before_request
    def check() -> Response | None:
        refused = guard.refuses_host(request.host)
        # `enter` takes the key itself; the files in static/ contain no data.
        if refused is None and request.endpoint not in ("static", "enter"):
            refused = guard.refuses(request.method, dict(request.headers), request.cookies)
            if refused is None and request.method == "POST":
                refused = guard.refuses_form(request.form.get("token", ""))
        return _refusal(refused) if refused else None

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    @app.get("/enter")
    def enter() -> Response:
        if not guard.is_key(request.args.get("key", "")):
            return _refusal(Refused(403, "The key is not the one that the command printed."))
        response = Response(render_template("enter.html", target=""), mimetype="text/html")
        response.set_cookie(guard.cookie, guard.key, httponly=True, samesite="Strict")
        return response


def _tell_errors(app: Flask, page: Page) -> None:
    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        if isinstance(error, HTTPException):
            text = "There is no such page." if error.code == 404 else "The console does not answer this."
            return page("message.html", error.code or 500, title=error.name, text=text)
        if isinstance(error, SyncError):
            return page("message.html", _status(error), title="Not possible", text=str(error))
        return page("message.html", 500, title="Defect", text=f"{location(error)}: please report this line.")


def _status(error: SyncError) -> int:
    """Return 4xx if the request was wrong, and 502 if something that it needs did not answer."""
    if isinstance(error, BadKey):
        return 404
    return 409 if isinstance(error, NotPossible) else 502


def _start_page(app: Flask, watch: Watch, page: Page, now: Callable[[], datetime]) -> None:
    def part(name: str, seen: Seen) -> str:
        assert seen.status is not None  # noqa: S101 (streams wait for it)
        with app.app_context():
            return render_template(f"parts/{name}.html", view=overview(seen, seen.status, now()))

    streams = Streams(watch, part)

    @app.get("/")
    def start() -> Response:
        seen = watch.seen()
        view = overview(seen, seen.status, now()) if seen.status else None
        return page("start.html", view=view, trouble=seen.trouble, done=list(reversed(watch.done)))

    @app.get("/stream")
    def stream() -> Response:
        if streams.full:
            return _refusal(Refused(503, "Too many pages are open."))
        return Response(streams.events(), mimetype="text/event-stream")


def _actions(app: Flask, target: TargetSystem, watch: Watch, page: Page, now: Callable[[], datetime]) -> None:
    @app.get("/confirm/<name>")
    def confirm(name: str) -> Response:
        action = ACTIONS.get(name) or flask.abort(404)
        question = action.ask(target, request.args.to_dict(flat=False))
        fields = [(field, value) for field in FIELDS for value in request.args.getlist(field)]
        return page("confirm.html", question=question, name=name, fields=fields)

    @app.post("/do/<name>")
    def act(name: str) -> Answer:
        action = ACTIONS.get(name) or flask.abort(404)
        try:
            said, well = action.do(target, request.form.to_dict(flat=False), now()), True
        except SyncError as error:
            said, well = f"Not done: {error}", False
        watch.done = [*watch.done, (now(), said, well)][-MOST_DONE:]
        watch.refresh()
        return flask.redirect("/#done", 303)

    @app.get("/dead-letters")
    def letters() -> Response:
        shown = [letter.shown() for letter in dead_letters(target).look(MOST_DEAD_LETTERS)]
        return page("dead_letters.html", letters=shown)


def _records(app: Flask, target: TargetSystem, page: Page, now: Callable[[], datetime]) -> None:
    @app.get("/record")
    def record() -> Response:
        kind, key = request.args.get("kind", ""), request.args.get("id", "").strip()
        return page("record.html", one=records.shown(target, kind, key, with_drchrono=False), now=now())

    @app.post("/record")
    def compared() -> Response:
        """Compare with DrChrono's record. This costs a request, so only a form leads here, no link."""
        kind, key = request.form.get("kind", ""), request.form.get("id", "").strip()
        return page("record.html", one=records.shown(target, kind, key, with_drchrono=True), now=now())
