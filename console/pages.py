"""The pages: routes, and what each shows. Whatever fails becomes a sentence; nothing of a record is in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from urllib.parse import urlencode

import flask
from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as Answer

from console import charts
from console.actions import ACTIONS, FIELDS, KIND_NAMES
from console.charts import seconds
from console.guard import HEADERS, Guard, Refused
from console.view import overview
from console.watch import Watch
from ops import compare
from ops.dead_letters import dead_letters
from ops.screen import ago, clock, many
from ops.session import place
from ops.status import MOST_DEAD_LETTERS
from ops.target_system import TargetSystem
from shared.errors import SyncError

# The parts of the start page that are sent again when they have changed: templates in parts/.
PARTS = ("verdict", "problems", "kinds", "charts", "arrivals", "pending", "facts")
BEAT_SECONDS = 15.0
MOST_STREAMS = 20
MOST_DONE = 20


def application(target: TargetSystem, watch: Watch, guard: Guard, now: Callable[[], datetime]) -> Flask:
    app = Flask("console", root_path=__file__.rpartition("/")[0])
    app.config["MAX_CONTENT_LENGTH"] = 256 * 1024
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {"clock": clock, "delay": seconds}
    app.jinja_env.globals |= {"many": many, "ago": ago, "command": target.command, "kinds": KIND_NAMES, "axes": charts}
    done: list[tuple[datetime, str, bool]] = []
    streams: list[object] = []

    def page(template: str, status: int = 200, **values: object) -> Response:
        text = render_template(template, target=target.name, token=guard.token, **values)
        return Response(text, status, mimetype="text/html")

    def refusal(refused: Refused) -> Response:
        return page("message.html", refused.status, title="Not shown", text=refused.because)

    @app.before_request
    def check() -> Response | None:
        refused = guard.refuses_host(request.host)
        # The one page that the key itself opens; the files of static/ hold nothing.
        if refused is None and request.endpoint not in ("static", "enter"):
            refused = guard.refuses(request.method, dict(request.headers), request.cookies)
            if refused is None and request.method == "POST":
                refused = guard.refuses_form(request.form.get("token", ""))
        return refusal(refused) if refused else None

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return page("message.html", error.code or 500, title=error.name, text="There is no such page.")
        if isinstance(error, SyncError):
            return page("message.html", 502, title="Not possible", text=str(error))
        return page("message.html", 500, title="Defect", text=f"{place(error)}: please report this line.")

    @app.get("/enter")
    def enter() -> Response:
        if not guard.is_key(request.args.get("key", "")):
            return refusal(Refused(403, "The key is not the one that the command printed."))
        response = page("enter.html")
        response.set_cookie(guard.cookie, guard.key, httponly=True, samesite="Strict")
        return response

    @app.get("/")
    def start() -> Response:
        found = watch.seen()
        view = overview(found, found.status, now()) if found.status else None
        return page("start.html", view=view, trouble=found.trouble, done=list(reversed(done)))

    @app.get("/stream")
    def stream() -> Response:
        if len(streams) >= MOST_STREAMS:
            return refusal(Refused(503, "Too many pages are open."))
        return Response(changes(), mimetype="text/event-stream")

    def changes() -> Iterator[str]:
        """Each part of the start page whenever it reads differently (html.spec.whatwg.org, server-sent events)."""
        mine = object()
        streams.append(mine)
        try:
            sent: dict[str, str] = {}
            version = -1
            while not watch.ended:
                found = watch.next(version, BEAT_SECONDS)
                if found.version == version or found.status is None:
                    version = found.version
                    yield ": still here\n\n"
                    continue
                version = found.version
                view = overview(found, found.status, now())
                for part in PARTS:
                    with app.app_context():
                        text = render_template(f"parts/{part}.html", view=view)
                    if sent.get(part) != text:
                        sent[part] = text
                        yield f"event: part\ndata: {json.dumps({'part': part, 'html': text})}\n\n"
        finally:
            streams.remove(mine)

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
        done.append((now(), said, well))
        del done[:-MOST_DONE]
        watch.refresh()
        return flask.redirect("/#done", 303)

    @app.get("/dead-letters")
    def letters() -> Response:
        shown = [letter.shown() for letter in dead_letters(target).look(MOST_DEAD_LETTERS)]
        return page("dead_letters.html", letters=shown)

    @app.get("/record")
    def record() -> Response:
        return shown(request.args.get("kind", ""), request.args.get("id", "").strip(), with_drchrono=False)

    @app.post("/record")
    def compared() -> Response:
        """One request to DrChrono, so no link leads here."""
        return shown(request.form.get("kind", ""), request.form.get("id", "").strip(), with_drchrono=True)

    def shown(kind: str, key: str, *, with_drchrono: bool) -> Response:
        row = compare.kind_of(kind)
        system, missing, stored, answer = target.system, "", None, None
        try:
            stored = compare.stored(system.documents(), system.queue(), row, key)
        except compare.NotStored as error:
            missing = str(error)
        there = None
        if with_drchrono:
            fetched = compare.fetch(system.drchrono(), row, key)
            there = fetched is not None
            answer = compare.compared(stored, fetched) if stored else None
        text = json.dumps(stored.record, indent=2, ensure_ascii=False, default=str) if stored else ""
        link = f"/confirm/fetch?{urlencode({'kind': kind, 'id': key})}"
        return page(
            "record.html",
            kind=kind, id=key, missing=missing, stored=stored, text=text, compared=answer, there=there, link=link,
            now=now(),
        )  # fmt: skip

    return app
