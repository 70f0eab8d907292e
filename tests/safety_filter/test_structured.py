"""Personal data and credentials: what is found, where, and what is left alone."""

from itertools import pairwise

import pytest
from slipway_safety_filter.check import structured
from slipway_safety_filter.spans import MAX_MATCH_CHARS

FOUND = [
    ("mail jane.doe+x@mail.example.co.uk now", "pii.email", "jane.doe+x@mail.example.co.uk"),
    ("schreib an jürgen@müller.de bitte", "pii.email", "jürgen@müller.de"),
    ("it is jane [at] example [dot] org", "pii.email", "jane [at] example [dot] org"),
    ("call +49 30 901820 today", "pii.phone", "+49 30 901820"),
    ("ring (212) 555-0143 ext. 12", "pii.phone", "(212) 555-0143 ext. 12"),
    ("my phone is 089 72 63 41", "pii.phone", "089 72 63 41"),
    ("card 4111 1111 1111 1111 12/27", "pii.card", "4111 1111 1111 1111"),
    ("7 4111-1111-1111-1111, 3", "pii.card", "4111-1111-1111-1111"),
    ("card ４１１１１１１１１１１１１１１１ ok", "pii.card", "４１１１１１１１１１１１１１１１"),
    ("card 4111\u200b1111\u200b1111\u200b1111 ok", "pii.card", "4111\u200b1111\u200b1111\u200b1111"),
    ("pay GB82 WEST 1234 5698 7654 32 and go", "pii.iban", "GB82 WEST 1234 5698 7654 32"),
    ("GB82 WEST 1234 5698 7654 32 DE89 3704 0044 0532 0130 00", "pii.iban", "DE89 3704 0044 0532 0130 00"),
    ("AB12 GB82WEST12345698765432", "pii.iban", "GB82WEST12345698765432"),
    ("pay de89370400440532013000 now", "pii.iban", "de89370400440532013000"),
    ("ssn: 219-09-9999.", "pii.ssn", "219-09-9999"),
    ("her social security number is 219099999", "pii.ssn", "219099999"),
    ("from 192.168.10.4 in", "pii.ip", "192.168.10.4"),
    ("from 2001:db8:85a3::8a2e:370:7334 in", "pii.ip", "2001:db8:85a3::8a2e:370:7334"),
    ("mac 00:1a:2b:3c:4d:5e up", "pii.mac", "00:1a:2b:3c:4d:5e"),
    ("She was born on 12 March 1984 in Kiel", "pii.birth_date", "12 March 1984"),
    ("DOB: 03/12/1984", "pii.birth_date", "03/12/1984"),
    ("I live at 221 Baker Street, London", "pii.address", "221 Baker Street, London"),
    ("wohnt Lindenstraße 12 in", "pii.address", "Lindenstraße 12"),
    ("passport number C01X00T47 is", "pii.passport", "C01X00T47"),
    ("nino QQ 12 34 56 C", "pii.national_id", None),
    ("cpf 529.982.247-25 ok", "pii.national_id", "529.982.247-25"),
    ("key AKIAIOSFODNN7EXAMPLE set", "secret", "AKIAIOSFODNN7EXAMPLE"),
    ("ghp_" + "a1B2" * 9 + " x", "secret", "ghp_" + "a1B2" * 9),
    ("sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12", "secret", "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12"),
    ("postgres://app:s3cr3tPw@db:5432/x", "secret", "s3cr3tPw"),
    ("password = hunter2Hunter!", "secret", "hunter2Hunter!"),
    ("-----BEGIN RSA PRIVATE KEY-----", "secret", "-----BEGIN RSA PRIVATE KEY-----"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123456", "secret", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123456"),
    ("blob 9fQ2xLr7VbT4nKw8ZsY1mPc6HdJ3 end", "secret", "9fQ2xLr7VbT4nKw8ZsY1mPc6HdJ3"),
    ("send to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa now", "pii.crypto", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
]  # fmt: skip

HARMLESS = [
    "The war of 1939-1945 ended; see pages 120-135 and figure 3.2.1.",
    "Version 1.24.3 of the library was released on 2024-03-15 at 10:30:00.",
    "The sum of 1234567 and 7654321 is 8888888, or 3.14159265358979.",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b fixes it",
    "id 123e4567-e89b-12d3-a456-426614174000 was seen",
    "Use api_key=YOUR_API_KEY and password: <your password here>",
    "population: 8,804,190 in 2020; area 783.8 km2; GDP 1 234 567 890",
    "set SLIPWAY_GENERATOR_URL and services/retriever/slipway_retriever/embed/bert_onnx.py",
    "The token limit is 4096 and the key idea is caching.",
    "ISBN 978-3-16-148410-0 and order number 4111111111111112",
    "for i in range(1000000): total += values[i] * 0.0000001",
    "The ratio 16:9 and the time 12:34:56 are no addresses.",
]


@pytest.mark.parametrize(("text", "category", "value"), FOUND)
def test_a_kind_is_found_with_its_span(text: str, category: str, value: str | None) -> None:
    spans = [s for s in structured(text) if s.category == category]
    if value is None:  # QQ is never issued: the shape alone is not enough
        assert not spans
    else:
        assert value in [text[s.start : s.end] for s in spans], structured(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_other_numbers_are_left_alone(text: str) -> None:
    assert [s for s in structured(text) if s.score >= 0.5] == []


def test_spans_are_ordered_apart_and_bounded() -> None:
    text = "x@y.org " * 30 + "4111 1111 1111 1111 " * 10 + "aB3" * 300
    spans = structured(text)
    assert all(a.end <= b.start for a, b in pairwise(spans))
    assert all(0 < s.end - s.start <= MAX_MATCH_CHARS for s in spans)
    assert sum(s.category == "pii.card" for s in spans) == 10


@pytest.mark.parametrize("unit", ["1 ", "a@", "4111 ", "aB3", "+1 ", "GB82", "(", "::", "eyJ", "key=", "\u200b1", "x@y."])
def test_hostile_repetitions_are_read_to_the_end(unit: str) -> None:
    """What blows up a backtracking matcher ends here, with bounded and ordered spans."""
    spans = structured((unit * 64000)[:64000])
    assert all(0 < s.end - s.start <= MAX_MATCH_CHARS for s in spans if unit.isascii())
    assert all(a.end <= b.start for a, b in pairwise(spans))
