"""Structured personal data and credentials in training text, replaced by placeholders that keep the text's sense.

It knows mail, phone, card, account, national and network numbers and the prefixes of credentials, each with the check that tells it from other digits.
It refuses to know names and addresses of people: those need a model, and prose about the world is full of both. The safety filter, which guards live
requests, knows more kinds; training may not import a service, so the few kinds that a corpus needs stand here.

The same value gets the same placeholder within a document (`[EMAIL-1]`, `[EMAIL-2]`), so that who wrote to whom can still be learned.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

Check = Callable[[str], bool]
Hint = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: its placeholder's word, what it looks like, and what it must pass. The pattern's group `value`, if it has one, is what is replaced.

    `hint` is quick and true of every text in which the pattern finds something; most text is spared the pattern by it.
    """

    name: str
    pattern: re.Pattern[str]
    check: Check
    hint: Hint


def digits(value: str) -> str:
    """The decimal digits of `value`."""
    return "".join(c for c in value if c.isdecimal())


def luhn(value: str) -> bool:
    """ISO/IEC 7812-1 annex B over the digits of `value`."""
    doubled = "0246813579"
    return sum(int(doubled[int(d)]) if i % 2 else int(d) for i, d in enumerate(reversed(digits(value)))) % 10 == 0


def _card(value: str) -> bool:
    bare = digits(value)
    return 13 <= len(bare) <= 19 and (bare[0] in "3456" or 2221 <= int(bare[:4]) <= 2720) and len(set(bare)) > 1 and luhn(bare)


def _iban(value: str) -> bool:
    """ISO 13616: mod 97 of the rearranged account is 1."""
    bare = value.replace(" ", "").upper()
    return 15 <= len(bare) <= 34 and int("".join(str(int(c, 36)) for c in bare[4:] + bare[:4])) % 97 == 1


def _ip(value: str) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    # Loopback, private and documentation ranges identify nobody and stand in every textbook on networks.
    return address.is_global


def _ssn(value: str) -> bool:
    """Areas that the Social Security Administration issues: not 000, 666 or 9xx; no group 00, no serial 0000."""
    bare = digits(value)
    return bare[:3] not in ("000", "666") and bare[0] != "9" and bare[3:5] != "00" and bare[5:] != "0000"


def _phone(value: str) -> bool:
    bare = digits(re.split(r"[xe]", value.lower())[0])
    return 8 <= len(bare) <= 15 and len(set(bare)) > 2


def _phone_by_word(value: str) -> bool:
    """Beside a word that says so, seven digits are a number to call."""
    bare = digits(value)
    return 7 <= len(bare) <= 15 and len(set(bare)) > 2


def _always(_value: str) -> bool:
    return True


def _holds(*parts: str, folded: bool = False) -> Hint:
    """Text that holds one of `parts`; `folded`: in any case."""

    def hint(text: str) -> bool:
        looked = text.casefold() if folded else text
        return any(part in looked for part in parts)

    return hint


def _shape(pattern: str) -> Hint:
    """Text that holds `pattern`, which begins with a character or a set: those are what `re` looks for quickly."""
    return re.compile(pattern).search


_EXTENSION = r"(?:\s?(?:x|ext\.?)\s?\d{1,6})?(?![\w-])"
_PHONE_WORDS = (
    r"\b(?:phones?|tel(?:ephone)?|call(?: me| us)?|mobile|cell|fax|sms|whatsapp|dial|(?:answering|reach(?:ed)?(?: me| us)?) at)\b"
)
_NOT_NUMBERED = "".join(
    f"(?<![{w[0].upper()}{w[0]}]{w[1:]} )" for w in ("section", "version", "chapter", "figure", "table", "release", "rule")
)

KINDS: tuple[Kind, ...] = (
    Kind("EMAIL", re.compile(r"\b[\w.+%'-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,24}\b"), _always, _holds("@")),
    Kind(
        "SECRET",
        re.compile(
            r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255}|glpat-[\w-]{20,64}|xox[abeoprs]-[\w-]{10,250}"
            r"|sk-(?:[a-z]{2,12}-)?[\w-]{20,250}|AIza[\w-]{35}|hf_[A-Za-z]{30,40}|eyJ[\w-]{8,4000}\.[\w-]{4,4000}\.[\w-]{4,1000})\b"
        ),
        _always,
        _holds("AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "sk-", "AIza", "hf_", "eyJ"),
    ),
    Kind("IBAN", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _iban, _shape(r"[A-Z][A-Z]\d\d")),
    # Contiguous, or in the groups that cards are printed in: single digits with spaces between them are a list, and one in ten passes the check digit.
    Kind("CARD", re.compile(r"(?<![\d.-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5})(?![\d.-]\d|\d)"),
         _card, _shape(r"\d{4}[ -]?\d{4}")),
    Kind("SSN", re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])"), _ssn, _shape(r"-\d\d-")),
    Kind("IP", re.compile(_NOT_NUMBERED + r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]\w)|(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,7}(?![\w:])"),
         _ip, _shape(r"[.:][0-9A-Fa-f]{0,4}[.:]")),
    Kind("PHONE", re.compile(rf"(?<![\w./-])(?:\+\d{{1,3}}[ .-]?|00[1-9]\d{{0,2}}[ .-])(?:\(\d{{1,4}}\)[ .-]?)?\d{{1,4}}(?:[ .-]?\d{{2,4}}){{1,4}}{_EXTENSION}"),
         _phone, _holds("+", "00")),
    Kind("PHONE", re.compile(rf"(?<![\w.-])(?:1[ .-])?(?:\(\d{{3}}\) ?|\d{{3}}[.-])\d{{3}}[.-]\d{{4}}{_EXTENSION}"), _phone, _shape(r"\d[.-]\d{4}")),
    # In brackets stands an area code; a year in brackets is a citation, and pages follow it.
    Kind("PHONE", re.compile(rf"(?<![\w.-])\((?!(?:1[5-9]|20)\d\d\))\d{{2,5}}\) ?\d{{2,5}}(?:[ -]\d{{2,5}}){{1,3}}{_EXTENSION}"), _phone, _shape(r"\) ?\d\d")),
    Kind("PHONE", re.compile(rf"(?i)(?:{_PHONE_WORDS})[^\d\n/=$<>]{{0,12}}(?P<value>\(?\d{{2,5}}\)?(?:[ ./-]?\d{{2,5}}){{1,4}}){_EXTENSION}"),
         _phone_by_word, _shape(r"\d\d")),
    Kind("PHONE", re.compile(r"(?i)(?<![\w.-])(?P<value>\(?\d{2,5}\)?(?:[ .-]?\d{2,8}){1,4})(?=[ -]{1,2}(?:office|fax|mobile|cell|phone)\b)"),
         _phone_by_word, _holds("office", "fax", "mobile", "cell", "phone", folded=True)),
)  # fmt: skip


def scrub(text: str) -> tuple[str, Counter[str]]:
    """`text` with placeholders, and how many values of each kind were replaced. Text without any comes back as the same object."""
    found: Counter[str] = Counter()
    seen: dict[str, dict[str, int]] = {}
    for kind in KINDS:
        if not kind.hint(text):
            continue

        def place(match: re.Match[str], kind: Kind = kind) -> str:
            group = "value" if "value" in match.re.groupindex else 0
            value = match.group(group)
            if not kind.check(value):
                return match.group()
            found[kind.name.lower()] += 1
            numbers = seen.setdefault(kind.name, {})
            number = numbers.setdefault(value if kind.name == "EMAIL" else re.sub(r"\W", "", value), len(numbers) + 1)
            start = match.start(group) - match.start()
            whole = match.group()
            return f"{whole[:start]}[{kind.name}-{number}]{whole[start + len(value) :]}"

        text = kind.pattern.sub(place, text)
    return text, found
