"""A digest ignores the signatures of URLs in any context, and nothing else."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.records.ordering import Verdict
from shared.records.storable import digest
from shared.records.store import Records, Source
from tests.records.test_ordering import NOON

# Pairs of links to the same object, as each service signs them for two reads.
SIGNED_TWICE = {
    "AWS, version 4": (
        "https://b.s3.amazonaws.com/card.png?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA1%2F20260310"
        "%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260310T150000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host"
        "&X-Amz-Security-Token=one&X-Amz-Signature=aa",
        "https://b.s3.amazonaws.com/card.png?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIA2%2F20260311"
        "%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260311T150000Z&X-Amz-Expires=1800&X-Amz-SignedHeaders=host"
        "&X-Amz-Security-Token=two&X-Amz-Signature=bb",
    ),
    "AWS, version 2": (
        "https://b.s3.amazonaws.com/a.pdf?Signature=x%2Fy%3D&Expires=1773154800&AWSAccessKeyId=AKIA1",
        "https://b.s3.amazonaws.com/a.pdf?Signature=z%3D&Expires=1773158400&AWSAccessKeyId=AKIA2&x-amz-security-token=t",
    ),
    "CloudFront, canned policy": (
        "https://d1.cloudfront.net/a.jpg?size=large&Expires=1773154800&Signature=x~_&Key-Pair-Id=K1",
        "https://d1.cloudfront.net/a.jpg?size=large&Expires=1773158400&Signature=y-_&Key-Pair-Id=K2",
    ),
    "CloudFront, custom policy": (
        "https://d1.cloudfront.net/a.jpg?Policy=eyJ1&Signature=x~_&Key-Pair-Id=K1",
        "https://d1.cloudfront.net/a.jpg?Policy=eyJ2&Signature=y~_&Key-Pair-Id=K1",
    ),
    "Google, version 4": (
        "https://storage.googleapis.com/b/a.pdf?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=a%40b&X-Goog-Date="
        "20260310T150000Z&X-Goog-Expires=900&X-Goog-SignedHeaders=host&X-Goog-Signature=aa",
        "https://storage.googleapis.com/b/a.pdf?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=c%40d&X-Goog-Date="
        "20260311T150000Z&X-Goog-Expires=600&X-Goog-SignedHeaders=host&X-Goog-Signature=bb",
    ),
    "Google, version 2": (
        "https://storage.googleapis.com/b/a.pdf?GoogleAccessId=a%40b&Expires=1773154800&Signature=x",
        "https://storage.googleapis.com/b/a.pdf?GoogleAccessId=c%40d&Expires=1773158400&Signature=y",
    ),
    "Azure": (
        "https://x.blob.core.windows.net/c/a.pdf?sv=2024-11-04&st=2026-03-10&se=2026-03-11&sr=b&sp=r&sig=x%3D",
        "https://x.blob.core.windows.net/c/a.pdf?sv=2024-11-04&st=2026-03-11&se=2026-03-12&sr=b&sp=r&sig=y%3D",
    ),
}
LINKS = [link for pair in SIGNED_TWICE.values() for link in pair]
# The parameters of the links above that may differ; written here once more, so that a slip in the code shows.
MAY_DIFFER = re.compile(
    r"(X-(Amz|Goog)-(Credential|Date|Expires|Signature|Security-Token)|Signature|Expires|AWSAccessKeyId|Key-Pair-Id"
    r"|Policy|GoogleAccessId|x-amz-security-token|sig|se|st)=[^&#]*"
)


@pytest.mark.parametrize("scheme", SIGNED_TWICE)
@pytest.mark.parametrize("place", ["top", "nested", "listed"])
def test_a_new_signature_of_a_link_is_not_a_change(scheme: str, place: str) -> None:
    def record(link: str) -> dict[str, Any]:
        places: dict[str, Any] = {"top": link, "nested": {"b": [{"c": link}]}, "listed": [["x", link]]}
        return {"a": places[place]}

    one, other = SIGNED_TWICE[scheme]
    assert digest(record(one)) == digest(record(other))


# Texts in which a link may stand: prose, HTML with and without escaped ampersands, JSON as text, several lines.
AROUND = [
    "see {}", "see {}.", "see {}, please", "({})", "[{}]", "<{}>", "\n{}\n", "é {} ü", "{}\u00a0more", "“{}”",
    '<img src="{}">', "<img src='{}' alt='card'>", '{{"link": "{}"}}', "{};", "{}!", "a {} b {} c",
]  # fmt: skip


@pytest.mark.parametrize("scheme", SIGNED_TWICE)
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("ampersand", ["&", "&amp;"])
def test_a_link_within_a_longer_text_counts_as_a_link(scheme: str, around: str, ampersand: str) -> None:
    one, other = (around.replace("{}", link.replace("&", ampersand)) for link in SIGNED_TWICE[scheme])
    assert one != other
    assert digest({"a": [one]}) == digest({"a": [other]})


@pytest.mark.parametrize("link", LINKS)
def test_the_text_around_a_link_counts_to_the_last_character(link: str) -> None:
    texts = {around.replace("{}", link) for around in AROUND}
    texts |= {link, f"see {link}..", f"see {link})", f"see {link} .", f"{link}.b" if "?" not in link else f"{link}. b"}
    assert len({digest({"a": text}) for text in texts}) == len(texts)


@pytest.mark.parametrize("link", LINKS)
def test_another_object_parameter_or_fragment_is_a_change(link: str) -> None:
    base, _, query = link.partition("?")
    others = [
        link.replace("https://", "http://"),
        link.replace(".com/", ".org/").replace(".net/", ".org/"),
        f"{base}x?{query}",
        f"{link}&versionId=2",
        f"{link}#page=2",
        f"{link}#",
        f"{base}?versionId=3&{query}",
        f"{base}?&{query}",
        f" {link}",
        f"{link} ",
        f"see {link}",
        f"{link}\n",
        f'"{link}"',
    ]
    digests = {digest({"a": text}) for text in [link, *others]}
    assert len(digests) == len(others) + 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://x/a?Expires=1", "https://x/a?Expires=2"),
        ("https://x/a?Signature=1", "https://x/a?Signature=2"),
        ("https://x/a?Policy=1&Key-Pair-Id=1", "https://x/a?Policy=2&Key-Pair-Id=1"),
        ("https://x/a?sig=1", "https://x/a?sig=2"),
        ("https://x/a?se=1&sp=1", "https://x/a?se=2&sp=1"),
        ("https://x/a?sig=1&se=1&sp=r", "https://x/a?sig=1&se=1&sp=rw"),
        ("https://x/a?signature=1&awsaccesskeyid=1", "https://x/a?signature=2&awsaccesskeyid=1"),
        ("https://x/a?Signature&AWSAccessKeyId", "https://x/a?AWSAccessKeyId&Signature"),
        ("https://x/Signature=1&AWSAccessKeyId=1", "https://x/Signature=2&AWSAccessKeyId=1"),
        ("https://x/a#?Signature=1&AWSAccessKeyId=1", "https://x/a#?Signature=2&AWSAccessKeyId=1"),
        ("https://x/a?b=Signature=1&AWSAccessKeyId=1", "https://x/a?b=Signature=2&AWSAccessKeyId=1"),
        ("//x/a?Signature=1&AWSAccessKeyId=1", "//x/a?Signature=2&AWSAccessKeyId=1"),
        ("ftp://x/a?Signature=1&AWSAccessKeyId=1", "ftp://x/a?Signature=2&AWSAccessKeyId=1"),
        ("x://x/a?Signature=1&AWSAccessKeyId=1", "x://x/a?Signature=2&AWSAccessKeyId=1"),
        ("http: //x/a?Signature=1&AWSAccessKeyId=1", "http: //x/a?Signature=2&AWSAccessKeyId=1"),
        ("https://x/a b?Signature=1&AWSAccessKeyId=1", "https://x/a b?Signature=2&AWSAccessKeyId=1"),
    ],
)
def test_a_text_that_only_resembles_a_signed_link_counts_completely(one: str, other: str) -> None:
    assert digest({"a": one}) != digest({"a": other})


@pytest.mark.parametrize("link", LINKS)
def test_the_name_of_a_field_counts_completely(link: str) -> None:
    assert digest({link: 1}) != digest({MAY_DIFFER.sub("", link): 1})


pieces = st.sampled_from(
    (
        *("https://", "http://", "h/", "?", "&", "&&", "#", "=", '"', "\\", ",", ":", "{", " ", "é", "🙂", "x", "y"),
        *("Signature=", "AWSAccessKeyId=", "Key-Pair-Id=", "Expires=", "Policy=", "sig=", "se="),
        *("X-Amz-Signature=", "X-Amz-Date=", "https://h/a?Signature=x&AWSAccessKeyId=x", '","https://h/a?sig=x&se=x'),
    )
)
texts = st.lists(pieces, max_size=10).map("".join)


def counting(text: str) -> str:
    """Return what must count in a text: everything but the parameters that a signature may change, and their
    separators.
    """
    return re.sub(r"\?(?=#|$)", "", MAY_DIFFER.sub("", text).replace("&", ""))


@given(texts, texts)
def test_texts_that_differ_in_anything_else_have_different_digests(one: str, other: str) -> None:
    assume(one != other)
    if digest({"a": one}) == digest({"a": other}):
        assert counting(one) == counting(other)
        assert "://" in one
        assert "?" in one + other


@given(st.sampled_from(LINKS), st.data())
def test_any_edit_outside_of_the_signature_is_a_change(link: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(link)))
    inserted = data.draw(st.text(min_size=1, max_size=3))
    length = data.draw(st.integers(0, 3))
    edited = link[:at] + inserted + link[at + length :]
    assume(counting(edited) != counting(link))
    assume("=" not in inserted and "&" not in inserted)
    touched = any(match.start() <= at + length and at <= match.end() for match in MAY_DIFFER.finditer(link))
    assume(not touched)
    assert digest({"a": link}) != digest({"a": edited})


leaves = st.none() | st.booleans() | st.integers() | texts
trees = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


def plain(value: Any) -> Any:
    if isinstance(value, str):
        return counting(value)
    if isinstance(value, list):
        return ["list", *map(plain, value)]
    return ("dict", sorted((k, plain(v)) for k, v in value.items())) if isinstance(value, dict) else repr(value)


@given(trees, trees)
def test_records_of_another_shape_have_different_digests(one: Any, other: Any) -> None:
    """Quotes, backslashes and brackets inside of texts and names move no border between two values."""
    if digest({"a": one}) == digest({"a": other}):
        assert plain(one) == plain(other)


@given(trees, st.sampled_from(sorted(SIGNED_TWICE)))
def test_a_new_signature_is_not_a_change_in_any_context(around: Any, scheme: str) -> None:
    one, other = ({"a": around, "b": [around, link, {"c": link}], "d": link} for link in SIGNED_TWICE[scheme])
    assert digest(one) == digest(other)
    assert digest({**one, "a": [around]}) != digest(other)


plain_texts = st.text(st.characters(codec="utf-8", exclude_characters="&=#?:/"), max_size=8)
# What follows a link and cannot be part of a signature.
ends = st.just("") | st.tuples(st.sampled_from(" )]};,!'\"<>*\n\té\u00a0“\\"), plain_texts).map("".join)


@given(st.sampled_from(sorted(SIGNED_TWICE)), plain_texts, ends, plain_texts, ends)
def test_in_any_text_only_the_signature_is_ignored(
    scheme: str, before: str, after: str, before_too: str, after_too: str
) -> None:
    one, other = SIGNED_TWICE[scheme]
    assert digest({"a": before + one + after}) == digest({"a": before + other + after})
    equal = digest({"a": before + one + after}) == digest({"a": before_too + other + after_too})
    assert equal is ((before, after) == (before_too, after_too))


def test_a_long_text_of_near_links_is_processed_quickly() -> None:
    for piece in ("http://", "http://a?Signature=", ".", "&sig=&se=", '\\"', "\\", "http://a?sig=.&se=."):
        text = piece * (200_000 // len(piece))
        began = time.perf_counter()
        digest({"a": f"{text} sig="})
        assert time.perf_counter() - began < 5


def test_a_deeply_nested_record_with_a_signed_link_has_a_digest() -> None:
    nested: Any = LINKS[0]
    for _ in range(400):
        nested = [nested]
    assert len(digest({"a": nested})) == 64


def test_a_replaced_photo_is_stored_and_a_new_signature_is_not(documents: Documents) -> None:
    records = Records(documents, lambda: NOON)
    patients = KINDS["patients"]

    def read(photo: str, minutes: int) -> Verdict:
        began = NOON + timedelta(minutes=minutes)
        record = {"id": 1, "patient_photo": photo, "primary_insurance": {"photo_front": photo}}
        return records.store(patients, "1", record, began, Source("sync")).verdict

    first, again = SIGNED_TWICE["AWS, version 4"]
    assert read(first, 0) is Verdict.STORE
    assert read(again, 30) is Verdict.SAME
    assert read(again.replace("card.png", "new.png"), 60) is Verdict.STORE


def test_a_nightly_pass_over_links_signed_anew_writes_nothing(documents: Documents) -> None:
    records = Records(documents, lambda: NOON)

    def night(which: int) -> dict[Verdict, int]:
        link = SIGNED_TWICE["AWS, version 2"][which]
        page = [{"id": number, "primary_insurance": {"insurance_card": link}} for number in range(30)]
        return dict(records.pages.store(KINDS["patients"], page, NOON + timedelta(days=which), Source("sync")).verdicts)

    assert night(0) == {Verdict.STORE: 30}
    assert night(1) == {Verdict.SAME: 30}


@pytest.mark.parametrize("after", ["", ".", ", and", ") and", "! <b>"])
def test_a_link_in_a_text_is_the_same_with_its_signature_and_without(after: str) -> None:
    link, signature = "https://b.s3.amazonaws.com/a.pdf", "?Signature=x%3D&Expires=1&AWSAccessKeyId=A"
    assert digest({"text": f"see {link}{signature}{after}"}) == digest({"text": f"see {link}{after}"})
