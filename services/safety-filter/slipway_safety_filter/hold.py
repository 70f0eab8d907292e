"""How much of a window's end may still become part of a match, and must be kept back until more text comes.

It knows how each kind of match begins. It errs towards holding: what it releases can never turn out to be the beginning of a span that the policy
redacts, as long as that span is at most MAX_MATCH_CHARS long. It refuses to know what a whole match is.
"""

# ruff: noqa: E501 (a pattern is one line)
from collections.abc import Iterable
from typing import Any

from slipway_safety_filter.check_digits import IBAN_LENGTHS
from slipway_safety_filter.pattern import linear
from slipway_safety_filter.spans import MAX_MATCH_CHARS, Span

_NUMERIC = linear(r"(?:\+|\()?[0-9][0-9 ().\-/x+:#]*$|(?:\+|\()$")
_ACCOUNT = linear(
    rf"(?i)\b(?:(?:{'|'.join(IBAN_LENGTHS)})(?:[0-9](?:[0-9](?:[ \-]?[a-z0-9])*[ \-]?)?)?|[{''.join(sorted({name[0] for name in IBAN_LENGTHS}))}])$"
)
_COMPACT_ID = linear(r"(?i)\b[a-z]{0,6}\d[a-z0-9+\-]*$")
_RUN = linear(r"\S+$")
_MIXED = linear(r"[0-9]|[a-z][A-Z]|_|://|=|[A-Za-z][-/+][A-Za-z]")
_ASSIGNED = linear(
    r"(?i)[a-z0-9_.\-]*(?:key|secret|token|passw(?:or)?d|passwd|pwd|passphrase|credential|bearer)s?[\"']?(?:\s{0,3}(?:=>|:=|=|:|i?s?)\s{0,3}[\"']?[^\s\"'`,;<>]*)?$"
)
_BLOCK = linear(r"-{1,5}(?:B(?:E(?:G(?:I(?:N[A-Z0-9 ]*-{0,4})?)?)?)?)?$")
_MAIL = linear(r"[\p{L}\p{N}_.%+'\-@]+$")
_MAIL_SPELLED = linear(
    r"(?i)[a-z0-9._+\-]+ ?(?:\[|\(|\{| )?(?:a(?:t(?:[\])}]| )?)?)?(?: ?[a-z0-9\-]*(?: ?[\[({]?(?:d(?:o(?:t[\])}]?)?)?)? ?[a-z0-9\-]*)*)$"
)
_WORDS = linear(r"(?:\p{Lu}[\p{L}'.\-]*\s?)+$")
_ADDRESS = linear(
    r"(?i)\b(?:\d{1,5}[a-z]?,? (?:[\p{L}\d'.,\-#]+[ \n]{0,2}){0,12}|p\.? ?o?\.? ?(?:b(?:ox?)?)? ?\d*|\p{L}+(?:straße|strasse|str\.|weg|platz|allee|gasse|ufer|damm|ring)? ?\d*)$"
)
_DATE = linear(
    r"(?i)\b(?:\d{1,4}(?:st|nd|rd|th)?(?: of)?[ /.\-]?[a-z0-9]*[ ,/.\-]{0,2}\d*|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?(?: \d*(?:st|nd|rd|th)?,? ?\d*)?)$"
)
_TITLED = linear(
    r"(?i)\b(?:mr|mrs|ms|miss|dr|prof|professor|herr|frau|monsieur|madame|se.ora?|name is|name's|called|signed,|regards,|sincerely,)\.?\s*(?:\p{Lu}[\p{L}'.\-]*\s?){0,3}$"
)
# The model tells a name by the words behind it too: a capitalised word waits for three of them, and what has no capitals for one.
_READ_NAMES = linear(r"\p{Lu}\S*(?:\s+\S+){0,3}\s*$|\S+\s*$")
READ_NAMES = "pii.name.read"
"""Stands among the enforced categories where names are found by the model as well."""

_TAILS = {
    "secret": (_ASSIGNED, _BLOCK),
    "pii.email": (_MAIL, _MAIL_SPELLED),
    "pii.iban": (_ACCOUNT,),
    "pii.name": (_TITLED, _WORDS),
    READ_NAMES: (_READ_NAMES,),
    "pii.address": (_ADDRESS, _NUMERIC),
    "pii.birth_date": (_DATE, _NUMERIC),
}
_COMPACT = frozenset(
    {
        "pii.national_id",
        "pii.passport",
        "pii.driver_license",
        "pii.vehicle",
        "pii.health_id",
        "pii.crypto",
        "pii.bank_account",
        "pii.mac",
        "pii.ip",
    }
)
_PREFIXES = (
    "AKIA", "ASIA", "ABIA", "ACCA", "AROA", "AIDA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gldt-", "glrt-", "xox", "sk_", "rk_", "whsec_", "sk-",
    "AIza", "GOCSPX-", "ya29.", "npm_", "pypi-", "hf_", "dckr_pat_", "rubygems_", "dop_v1_", "doo_v1_", "dor_v1_", "dapi", "hvs.", "hvb.", "hvr.", "shp", "sq0", "EAAA", "AGE-SECRET",
    "tfp_", "gsk_", "r8_", "lin_api_", "ntn_", "glsa_", "SG.", "key-", "AC", "SK", "eyJ",
)  # fmt: skip


def hold_from(text: str, enforced: Iterable[str], found: Iterable[Span]) -> int:
    """The offset from which `text` must be kept back; len(text) when all of it can go.

    `enforced`: the categories that the policy redacts or blocks by a span; `found`: the spans that this window already holds.
    """
    earliest = max(0, len(text) - MAX_MATCH_CHARS)
    tail = text[earliest:]
    start = len(tail)
    for category in enforced:
        start = min(start, _start(category, tail))
    start += earliest
    for span in found:
        if span.start < start < span.end or (span.end == len(text) and span.start < start):
            start = max(span.start, earliest)
    return start


def _start(category: str, tail: str) -> int:
    patterns = _TAILS.get(category)
    if category == "secret":
        return min(_run_start(tail), *(_match_start(p, tail) for p in patterns or ()))
    if patterns is None:
        patterns = (_NUMERIC, _COMPACT_ID) if category in _COMPACT else (_NUMERIC,)
    return min(_match_start(pattern, tail) for pattern in patterns)


def _match_start(pattern: Any, tail: str) -> int:
    match = pattern.search(tail)
    return match.start() if match is not None else len(tail)


def _run_start(tail: str) -> int:
    """The beginning of the last unbroken run, if it could be a credential: mixed characters, or the beginning of a known prefix."""
    match = _RUN.search(tail)
    if match is None:
        return len(tail)
    run = match.group(0).lstrip("\"'`([{<")
    begins = any(prefix.startswith(run) or run.startswith(prefix) for prefix in _PREFIXES) if run else False
    return match.start() if begins or _MIXED.search(run) is not None else len(tail)
