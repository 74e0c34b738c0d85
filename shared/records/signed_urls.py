"""Signed URLs in JSON: removes the parts that differ with every read. Pure.

A storage service signs a link anew at each read, so two reads of an unchanged record show two links. The parameters
with the signature, its expiry and the signer's credential say nothing about the record. Everything else does: host,
path, other parameters, fragment, and the text around the URL.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Scheme(NamedTuple):
    """required: a URL with all of these parameters uses this scheme. ignored: the parameters that differ with every
    read.
    """

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

# A URL in JSON without spaces between tokens, so it can only be inside a string. It ends at a character that no URL
# contains: a space, an HTML bracket, a quote, a control character.
_URL = re.compile(r'https?://(?:[^"\\\s<>]|\\u[0-9a-f]{4})+', re.IGNORECASE)
# The rest of the string with the URL, and the colon if the string is a key. Inside a string, a backslash precedes
# every quote.
_REST = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*"(:?)')
# The characters of a signature's value. A bracket, comma or full stop after it belongs to the surrounding sentence or
# HTML.
_VALUE = re.compile(r"[A-Za-z0-9%_~/+=:@-]*(?:\.+[A-Za-z0-9%_~/+=:@-]+)*")
# Most records have none of these, and many have no "=" at all, which is found faster.
_HINTS = ("ignature=", "sig=")


def without_signatures(text: str) -> str:
    """Return the JSON `text` without the signatures of the URLs in its values, also within longer texts.

    text: from `json.dumps` with the separators "," and ":". A query that becomes empty loses its question mark.
    """
    if "=" not in text or not any(hint in text for hint in _HINTS):
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
    is_empty = all(_name(parameter) in ignored for parameter in parameters)
    return base + ("" if is_empty else "?") + "&".join(kept) + hash_sign + fragment


def _name(parameter: str) -> str:
    """In HTML, `&` is written as `&amp;`."""
    name, equals, _ = parameter.removeprefix("amp;").partition("=")
    return name if equals else ""


def _left(parameter: str, ignored: set[str]) -> str | None:
    """Return what stays of a parameter: all of it, nothing (None), or the text that follows the URL."""
    if _name(parameter) not in ignored:
        return parameter
    value = parameter.partition("=")[2]
    found = _VALUE.match(value)
    return value[found.end() :] or None if found else value
