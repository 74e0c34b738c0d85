"""Routing under `/api`: authorization, rate limit, and the endpoints."""

from __future__ import annotations

import email.utils
import math
from random import Random

from simulator.api.address import locate
from simulator.api.lists import Lists, is_verbose
from simulator.api.refusals import throttled, unauthorized
from simulator.api.writes import Writes
from simulator.messages import (
    NO_CONTENT,
    NOT_FOUND,
    RefusedError,
    Request,
    Response,
    redirect,
)
from simulator.oauth.tokens import Pair, Tokens
from simulator.practice.clinic import Clinic
from simulator.practice.kinds import APPOINTMENTS, KINDS, USERS, Kind
from simulator.practice.lookup import NoSuchRecordError
from simulator.practice.staff import CURRENT_USER
from simulator.practice.store import signed
from simulator.quota import Quota
from simulator.stats import Stats


def endpoint(request: Request) -> str:
    """Return the request's method and path with ids replaced, for statistics: `GET /api/patients/{id}`."""
    parts = request.path.strip("/").split("/")
    if parts[0] == "api" and len(parts) == 3 and parts[2] != "current":
        parts[2] = "{id}"
    return f"{request.method} /{'/'.join(parts[:3])}"


class Api:
    """The REST interface."""

    def __init__(self, clinic: Clinic, lists: Lists, tokens: Tokens, quota: Quota, stats: Stats) -> None:
        self._clinic, self._config = clinic, clinic.config
        self._lists, self._tokens, self._quota, self._stats = lists, tokens, quota, stats
        self._writes = Writes(clinic)
        self._rng = Random(f"{self._config.seed} signatures")

    def handle(self, request: Request) -> Response:
        scheme, _, access = request.headers.get("authorization", "").partition(" ")
        pair = self._tokens.find_valid(access.strip()) if scheme.lower() == "bearer" else None
        if pair is None:
            return unauthorized(live=self._config.live)
        wait = self._quota.admit(self._clinic.clock.now())
        if wait > 0:
            return self._throttle(wait)
        address = locate(request)
        if address.kind is None:
            raise RefusedError(404, NOT_FOUND)
        kind = KINDS[address.kind]
        if address.read == "bulk":
            return self._bulk_list(kind, request, pair)
        return self._records(kind, address.id, request, pair)

    def _throttle(self, wait: float) -> Response:
        seconds = math.ceil(wait)
        style = self._config.retry_after or ("none" if self._config.live else "seconds")
        if style == "none":
            return throttled(seconds)
        now = self._clinic.clock.now()
        shown = str(seconds) if style == "seconds" else email.utils.formatdate(now + seconds, usegmt=True)
        return throttled(seconds, ("Retry-After", shown))

    def _records(self, kind: Kind, key: str | None, request: Request, pair: Pair) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if method not in kind.methods or (method == "POST") != (key is None and method != "GET"):
            raise RefusedError(405, {"detail": f'Method "{request.method}" not allowed.'})
        if method == "GET" and key is None:
            if not self._check_scope(kind.scope, "read", pair, empty_instead=kind.name == APPOINTMENTS):
                return self._lists.empty(kind, request, bulk=False)
            return self._signed(self._lists.page(kind, request))
        self._check_scope(kind.scope, "read" if method == "GET" else "write", pair)
        if key is None:
            return self._create(kind, request)
        if method == "GET":
            if kind.name == USERS and key == "current":
                key = str(CURRENT_USER)
                if self._config.live:
                    return redirect(f"{request.origin}/api/users/{key}")
            return self._read(kind, key, request)
        return self._write(kind, key, request)

    def _read(self, kind: Kind, key: str, request: Request) -> Response:
        record = self._clinic.store.by_key[kind.name].get(key)
        until = self._clinic.clock.now() - self._lists.lag.seconds(kind.name, "single")
        version = record.seen(until) if record else None
        if version is None or version.deleted or self._lists.visibility.hides(version, "single"):
            raise RefusedError(404, NOT_FOUND)
        return self._signed(Response(status=200, body=version.json(verbose=is_verbose(request))))

    def _create(self, kind: Kind, request: Request) -> Response:
        version = self._writes.create(kind, {**request.query, **request.form()})
        self._stats.count("writes")
        self._stats.count("created")
        return self._signed(Response(status=201, body=version.json(verbose=True)))

    def _write(self, kind: Kind, key: str, request: Request) -> Response:
        try:
            if self._lists.visibility.hides(self._clinic.find(kind.name, key).current, "single"):
                raise RefusedError(404, NOT_FOUND)
            if request.method == "DELETE":
                self._clinic.delete(kind.name, key)
            else:
                self._writes.change(kind, key, request.form(), whole=request.method == "PUT")
        except NoSuchRecordError:
            raise RefusedError(404, NOT_FOUND) from None
        self._stats.count("writes")
        return NO_CONTENT

    def _bulk_list(self, kind: Kind, request: Request, pair: Pair) -> Response:
        if request.method not in ("GET", "POST"):
            raise RefusedError(405, {"detail": f'Method "{request.method}" not allowed.'})
        if not self._check_scope(kind.scope, "read", pair, empty_instead=kind.name == APPOINTMENTS):
            return self._lists.empty(kind, request, bulk=True)
        if request.method == "POST":
            return self._lists.start(kind, request)
        return self._signed(self._lists.read(kind, request))

    def _check_scope(self, scope: str, mode: str, pair: Pair, *, empty_instead: bool = False) -> bool:
        """Whether the token has the scope. If not, raise RefusedError (403) unless `empty_instead`."""
        if f"{scope}:{mode}" in pair.scopes:
            return True
        if empty_instead:
            return False
        raise RefusedError(403, {"detail": "You do not have permission to perform this action."})

    def _signed(self, response: Response) -> Response:
        body = signed(response.body, f"{self._rng.getrandbits(128):032x}")
        return Response(status=response.status, body=body)
