"""Made-up personal data and credentials of every kind, with valid check digits, inside sentences: the generated development set.

It builds numbers from the published schemes, not from the detector's patterns. Everything is seeded; nobody's data is in it.
"""

# ruff: noqa: E501 (a list of forms is read best side by side)

import random
import string
from collections.abc import Callable
from dataclasses import dataclass

LETTERS, LOWER, DIGITS = string.ascii_uppercase, string.ascii_lowercase, string.digits


@dataclass(frozen=True, slots=True)
class Planted:
    """`text[start:end]` is a value of `category`; `kind` says which sort."""

    text: str
    category: str
    kind: str
    start: int
    end: int


def _digits(rng: random.Random, count: int, first: str = DIGITS) -> str:
    return rng.choice(first) + "".join(rng.choices(DIGITS, k=count - 1))


def _luhn(body: str) -> str:
    total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(reversed(body)))
    return body + str(-total % 10)


def _grouped(text: str, sizes: tuple[int, ...], gap: str) -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    return gap.join(part for part in [*parts, text[at:]] if part)


def card(rng: random.Random) -> str:
    head, length = rng.choice(
        (("4", 16), ("51", 16), ("55", 16), ("2223", 16), ("34", 15), ("37", 15), ("6011", 16), ("3528", 16), ("36", 14))
    )
    number = _luhn(head + "".join(rng.choices(DIGITS, k=length - 1 - len(head))))
    sizes = (4, 6, 5) if length == 15 else (4, 6, 4) if length == 14 else (4, 4, 4, 4)
    return rng.choice((number, _grouped(number, sizes, " "), _grouped(number, sizes, "-")))


def iban(rng: random.Random) -> str:
    country, shape = rng.choice((("DE", "9" * 18), ("GB", "AAAA" + "9" * 14), ("FR", "9" * 10 + "X" * 11 + "99"), ("NL", "AAAA" + "9" * 10),
                                 ("ES", "9" * 20), ("IT", "A" + "9" * 10 + "X" * 12), ("NO", "9" * 11), ("CH", "99999" + "X" * 12), ("PL", "9" * 24)))  # fmt: skip
    body = "".join(rng.choice({"9": DIGITS, "A": LETTERS, "X": DIGITS + LETTERS}[c]) for c in shape)
    check = 98 - int("".join(str(int(c, 36)) for c in body + country + "00")) % 97
    text = f"{country}{check:02d}{body}"
    return rng.choice((text, _grouped(text, (4,) * (len(text) // 4), " "), text.lower()))


def email(rng: random.Random) -> str:
    first, last = rng.choice(_FIRST).lower(), rng.choice(_LAST).lower()
    local = rng.choice(
        (
            f"{first}.{last}",
            f"{first}{rng.randrange(99)}",
            f"{first[0]}_{last}",
            f"{first}+{rng.choice(('news', 'shop'))}",
            f"{last}-{first}",
        )
    )
    return f"{local}@{rng.choice(('mail', 'post', 'corp', last, 'uni-west', 'my.house'))}.{rng.choice(('com', 'org', 'co.uk', 'de', 'museum', 'io', 'com.br'))}"


def phone(rng: random.Random) -> str:
    area, middle, end = _digits(rng, 3, "23456789"), _digits(rng, 3, "23456789"), _digits(rng, 4)
    return rng.choice((
        f"({area}) {middle}-{end}", f"{area}-{middle}-{end}", f"{area}.{middle}.{end}", f"+1 {area} {middle} {end}", f"1-{area}-{middle}-{end} ext. {_digits(rng, 3)}",
        f"+44 20 {_digits(rng, 4)} {_digits(rng, 4)}", f"+49 {_digits(rng, 3, '123456789')} {_digits(rng, 7)}", f"+33 {_digits(rng, 1, '1234567')} {' '.join(_digits(rng, 2) for _ in range(4))}",
        f"+91-{_digits(rng, 5, '6789')}-{_digits(rng, 5)}", f"0044 {_digits(rng, 4, '17')} {_digits(rng, 6)}", f"+55 11 9{_digits(rng, 4)}-{_digits(rng, 4)}",
    ))  # fmt: skip


def ssn(rng: random.Random) -> str:
    area = rng.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03d}-{rng.randrange(1, 100):02d}-{rng.randrange(1, 10000):04d}"


def ipv4(rng: random.Random) -> str:
    return ".".join(str(rng.randrange(1, 255)) for _ in range(4))


def ipv6(rng: random.Random) -> str:
    groups = [f"{rng.randrange(1, 65536):x}" for _ in range(8)]
    return rng.choice((":".join(groups), f"2001:db8::{groups[0]}:{groups[1]}", f"fe80::{groups[2]}:{groups[3]}:{groups[4]}"))


def nino(rng: random.Random) -> str:
    text = rng.choice(("AB", "CE", "JK", "LM", "PR", "SW")) + _digits(rng, 6) + rng.choice("ABCD")
    return rng.choice((text, _grouped(text, (2, 2, 2, 2), " ")))


def dni(rng: random.Random) -> str:
    number = rng.randrange(10_000_000, 99_999_999)
    return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def cpf(rng: random.Random) -> str:
    body = [rng.randrange(10) for _ in range(9)]
    for _ in range(2):
        body.append(sum(d * w for d, w in zip(body, range(len(body) + 1, 1, -1), strict=False)) * 10 % 11 % 10)
    text = "".join(map(str, body))
    return f"{text[:3]}.{text[3:6]}.{text[6:9]}-{text[9:]}"


def nir(rng: random.Random) -> str:
    body = f"{rng.choice('12')}{rng.randrange(30, 99)}{rng.randrange(1, 13):02d}{rng.randrange(1, 95):02d}{rng.randrange(1, 990):03d}{rng.randrange(1, 999):03d}"
    return f"{body}{97 - int(body) % 97:02d}"


def secret(rng: random.Random) -> str:
    def run(alphabet: str, count: int) -> str:
        return "".join(rng.choices(alphabet, k=count))

    mixed, word = LETTERS + LOWER + DIGITS, LETTERS + LOWER + DIGITS + "_-"
    return rng.choice((
        "AKIA" + run(LETTERS + DIGITS, 16), "ghp_" + run(mixed, 36), "xoxb-" + run(DIGITS, 11) + "-" + run(mixed, 24), "sk_live_" + run(mixed, 24),
        "sk-proj-" + run(mixed, 12) + _digits(rng, 4) + run(word, 20), "AIza" + run(word, 35), "glpat-" + run(word, 20), "npm_" + run(mixed, 36), "hf_" + run(LETTERS + LOWER, 34),
        "SG." + run(word, 22) + "." + run(word, 43), "dop_v1_" + run("abcdef" + DIGITS, 64), "hvs." + run(word, 24), "sk-ant-api03-" + run(word, 60) + "9",
        "eyJ" + run(mixed, 20) + "." + "eyJ" + run(mixed, 40) + "." + run(word, 43),
    ))  # fmt: skip


def birth_date(rng: random.Random) -> str:
    day, month, year = rng.randrange(1, 29), rng.randrange(1, 13), rng.randrange(1930, 2010)
    return rng.choice(
        (
            f"{day:02d}/{month:02d}/{year}",
            f"{year}-{month:02d}-{day:02d}",
            f"{day} {_MONTHS[month - 1]} {year}",
            f"{_MONTHS[month - 1]} {day}, {year}",
            f"{day:02d}.{month:02d}.{year}",
        )
    )


def address(rng: random.Random) -> str:
    number, name = rng.randrange(1, 9999), rng.choice(_LAST)
    return rng.choice((
        f"{number} {name} {rng.choice(('Street', 'Avenue', 'Road', 'Lane', 'Drive', 'Blvd', 'Court'))}", f"{name}straße {number % 200 + 1}", f"{number % 300 + 1} rue de {name}",
        f"P.O. Box {number}", f"{number} {rng.choice(('Oak', 'Maple', 'Old Mill', 'North Park'))} {rng.choice(('St', 'Ave', 'Rd', 'Dr'))}, Apt {rng.randrange(1, 99)}",
    ))  # fmt: skip


_FIRST = (
    "Anna",
    "Bruno",
    "Carla",
    "Dmitri",
    "Elif",
    "Farid",
    "Greta",
    "Hiro",
    "Ines",
    "Jonas",
    "Kofi",
    "Lucia",
    "Mateo",
    "Nadia",
    "Olga",
    "Pavel",
)
_LAST = (
    "Adler",
    "Brandt",
    "Costa",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Hansen",
    "Ibrahim",
    "Jansen",
    "Keller",
    "Lopez",
    "Moreau",
    "Novak",
)
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")

KINDS: dict[str, tuple[str, Callable[[random.Random], str], tuple[str, ...]]] = {
    "e-mail": ("pii.email", email, ("Write to {} please.", "my mail is {}", "Contact: {}; thanks", "cc <{}> on this")),
    "phone": ("pii.phone", phone, ("Call me at {} tomorrow.", "my number: {}", "You can reach us on {}, day or night.", "Tel. {}")),
    "card": ("pii.card", card, ("Charge {} today.", "my card is {}, expires 12/29", "Kartennummer {}", "pay with {} 09/27 123")),
    "iban": ("pii.iban", iban, ("Transfer it to {}.", "IBAN {} please", "account: {}, bank in town", "{} is where rent goes")),
    "us ssn": ("pii.ssn", ssn, ("SSN {}.", "his social security number is {}", "on file: {}", "{} (social)")),
    "ipv4": ("pii.ip", ipv4, ("The host is {}.", "connect from {} again", "log: {} GET /", "address {}, port 22")),
    "ipv6": ("pii.ip", ipv6, ("The host is {}", "ping {} now", "bound to [{}]", "route via {} today")),
    "uk nino": ("pii.national_id", nino, ("NI number {}.", "my NINO: {}", "national insurance {} on the payslip")),
    "es dni": ("pii.national_id", dni, ("DNI {}.", "con {} en mano", "identity card {}")),
    "br cpf": ("pii.national_id", cpf, ("CPF {}.", "o número {} é meu", "tax id {}")),
    "fr nir": ("pii.national_id", nir, ("Sécu {}.", "mon numéro {}", "NIR: {}")),
    "credential": ("secret", secret, ("key {} works", "export TOKEN={}", "I found {} in the log.", '{{"auth": "{}"}}')),
    "birth date": ("pii.birth_date", birth_date, ("She was born on {}.", "DOB: {}", "my date of birth is {}", "birthday {} at home")),
    "address": ("pii.address", address, ("I live at {}.", "Ship to {}", "our office address is {}", "visit us: {}")),
}  # fmt: skip


def planted(count: int, seed: int = 11) -> list[Planted]:
    """`count` sentences of every kind."""
    rng = random.Random(seed)  # noqa: S311 - test data, not keys
    out: list[Planted] = []
    for kind, (category, make, frames) in KINDS.items():
        for _ in range(count):
            value, frame = make(rng), rng.choice(frames)
            before, _, after = frame.partition("{}")
            before, after = before.replace("{{", "{"), after.replace("}}", "}")
            out.append(Planted(f"{before}{value}{after}", category, kind, len(before), len(before) + len(value)))
    return out
