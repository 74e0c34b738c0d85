"""Signed URLs in JSON: what of them differs with every read. Pure.

A storage service signs a link anew each time it is read, so two reads of an unchanged record show two links. The
parameters that carry the signature, its expiry and the signer's credential say nothing about the record. All else
does: the host, the path, the other parameters, the fragment, and the text around the URL.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Scheme(NamedTuple):
    """required: a URL with all of these parameters is signed this way. ignored: those that differ with every read."""

    required: frozenset[str]
    ignored: frozenset[str]


def _scheme(required: str, others: str) -> Scheme:
    return Scheme(frozenset(required.split()), frozenset(f"{required} {others}".split()))


SCHEMES = {
    # docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    "AWS, version 4": _scheme("X-Amz-Signature", "X-Amz-Credential X-Amz-Date X-Amz-Expires X-Amz-Security-Token"),
    # docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
    "AWS, version 2": _scheme("Signature AWSAccessKeyId", "Expires x-amz-security-token"),
    # docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-signed-urls.html
    "CloudFront": _scheme("Signature Key-Pair-Id", "Expires Policy"),
    # cloud.google.com/storage/docs/authentication/signatures
    "Google, version 4": _scheme("X-Goog-Signature", "X-Goog-Credential X-Goog-Date X-Goog-Expires"),
    # cloud.google.com/storage/docs/access-control/signed-urls-v2
    "Google, version 2": _scheme("Signature GoogleAccessId", "Expires"),
    # learn.microsoft.com/rest/api/storageservices/create-service-sas and create-user-delegation-sas
    "Azure": _scheme("sig se", "st skoid sktid skt ske sks skv"),
}

# A URL in JSON that is written without spaces, where it can stand in a string only. It ends where no URL goes on: at a
# space, a bracket of HTML, a quote, a control.
_URL = re.compile(r'https?://(?:[^"\\\s<>]|\\u[0-9a-f]{4})+', re.IGNORECASE)
# The rest of the string that a URL stands in, and the colon by which it is a key. Inside of a string every quote
# follows a backslash.
_REST = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*"(:?)')
# What the value of a signature can be made of. Where a URL stands in a sentence or in HTML, what follows it is no part
# of it: a bracket, a comma, or the full stop.
_VALUE = re.compile(r"[A-Za-z0-9%_~/+=:@-]*(?:\.+[A-Za-z0-9%_~/+=:@-]+)*")
# Most records hold none.
_HINTS = ("ignature=", "sig=")


def without_signatures(text: str) -> str:
    """The JSON `text`, as `json.dumps` writes it with separators "," and ":", with no signature in the URLs of its
    values, also where they stand in a longer text.

    A query that held nothing else goes with its question mark.
    """
    if not any(hint in text for hint in _HINTS):
        return text
    return _URL.sub(_of_value, text)


def _of_value(found: re.Match[str]) -> str:
    rest = _REST.match(found.string, found.end())
    is_key = rest is not None and bool(rest[1])
    return found[0] if is_key else _unsigned(found[0])


def _unsigned(url: str) -> str:
    address, hash_sign, fragment = url.partition("#")
    base, _, query = address.partition("?")
    parameters = query.split("&")
    names = {_name(parameter) for parameter in parameters}
    ignored = {name for scheme in SCHEMES.values() if scheme.required <= names for name in scheme.ignored}
    if not ignored:
        return url
    kept = [left for parameter in parameters if (left := _left(parameter, ignored)) is not None]
    return base + ("?" + "&".join(kept) if kept else "") + hash_sign + fragment


def _name(parameter: str) -> str:
    """In HTML, `&` is written as `&amp;`."""
    name, equals, _ = parameter.removeprefix("amp;").partition("=")
    return name if equals else ""


def _left(parameter: str, ignored: set[str]) -> str | None:
    """What of a parameter counts: all, nothing (None), or what follows the URL that it is the last one of."""
    if _name(parameter) not in ignored:
        return parameter
    value = parameter.partition("=")[2]
    found = _VALUE.match(value)
    return value[found.end() :] or None if found else value
