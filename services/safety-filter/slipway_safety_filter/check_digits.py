"""Checksums and ranges that tell a number of a kind from any other number.

Each function takes the digits (or letters) without separators and is total: any text gives True or False. It refuses to know where the text stood.
Sources: ISO/IEC 7812-1 (Luhn), ISO 7064 and ISO 13616 (IBAN), the issuing authorities' published algorithms for national numbers.
"""

import hashlib
import ipaddress

IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28, "CH": 21, "CR": 22,
    "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22,
    "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30,
    "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27,
    "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33,
    "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29,
    "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VERHOEFF_D = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678", "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_P = ("0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258")
_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU = "0123456789ABCDEFHJKLMNPRSTUVWXY"


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B."""
    doubled = "0246813579"
    total = sum(int(doubled[int(d)]) if i % 2 else int(d) for i, d in enumerate(reversed(digits)))
    return len(digits) > 1 and total % 10 == 0


def card(digits: str) -> bool:
    """A payment card: an issuer's range and length, and Luhn."""
    if not 12 <= len(digits) <= 19 or len(set(digits)) < 2 or not luhn(digits):
        return False
    two, four = int(digits[:2]), int(digits[:4])
    match digits[0]:
        case "4":
            return len(digits) in (13, 16, 18, 19)
        case "2":
            return 2200 <= four <= 2720 and len(digits) in (16, 17, 18, 19)
        case "3":
            return (two in (34, 37) and len(digits) == 15) or two in (30, 35, 36, 38, 39)
        case "5" | "6":
            return two in range(50, 70)
        case "8":
            return two == 81 and len(digits) >= 16
        case _:
            return False


def iban(text: str) -> bool:
    """ISO 13616: the country's length and the check digits (mod 97)."""
    upper = text.upper()
    if IBAN_LENGTHS.get(upper[:2]) != len(upper) or not upper.isalnum() or not upper.isascii():
        return False
    return int("".join(str(int(c, 36)) for c in upper[4:] + upper[:4])) % 97 == 1


def us_ssn(digits: str) -> bool:
    """Areas, groups and serials that the Social Security Administration issues (since 2011: any area but 000, 666, 9xx)."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return (
        len(digits) == 9 and area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000" and len(set(digits)) > 1
    )


def us_itin(digits: str) -> bool:
    """9xx-(50..65, 70..88, 90..92, 94..99)-xxxx."""
    group = int(digits[3:5]) if len(digits) == 9 else 0
    return digits[:1] == "9" and (50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99)


def aba_routing(digits: str) -> bool:
    """American Bankers Association routing number: 3-7-1 weights."""
    return (
        len(digits) == 9
        and int(digits[:2]) in (*range(13), *range(21, 33), *range(61, 73), 80)
        and _weighted(digits, (3, 7, 1) * 3) % 10 == 0
    )


def uk_nhs(digits: str) -> bool:
    """Modulus 11 over ten digits."""
    return len(digits) == 10 and len(set(digits)) > 1 and (11 - _weighted(digits[:9], range(10, 1, -1)) % 11) % 11 == int(digits[9])


def canada_sin(digits: str) -> bool:
    """Nine digits, not beginning with 0 or 8, Luhn."""
    return len(digits) == 9 and digits[0] not in "08" and luhn(digits)


def spain_dni(text: str) -> bool:
    """DNI and NIE: the letter is the number modulo 23."""
    upper = text.upper()
    body = str("XYZ".index(upper[0])) + upper[1:-1] if upper[0] in "XYZ" else upper[:-1]
    return body.isdigit() and _DNI[int(body) % 23] == upper[-1]


def france_nir(digits: str) -> bool:
    """Fifteen digits: 97 minus the first thirteen modulo 97 is the key."""
    return len(digits) == 15 and 97 - int(digits[:13]) % 97 == int(digits[13:])


def netherlands_bsn(digits: str) -> bool:
    """The eleven test."""
    return len(digits) == 9 and (_weighted(digits[:8], range(9, 1, -1)) - int(digits[8])) % 11 == 0 and len(set(digits)) > 1


def poland_pesel(digits: str) -> bool:
    """Weights 1-3-7-9, and a month that exists (with the century added)."""
    return len(digits) == 11 and 1 <= int(digits[2:4]) % 20 <= 12 and _weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def brazil_cpf(digits: str) -> bool:
    """Two check digits modulo 11."""
    if len(digits) != 11 or len(set(digits)) == 1:
        return False
    return all((_weighted(digits[:n], range(n + 1, 1, -1)) * 10) % 11 % 10 == int(digits[n]) for n in (9, 10))


def india_aadhaar(digits: str) -> bool:
    """Verhoeff's scheme over twelve digits, the first of which is 2-9."""
    check = 0
    for i, digit in enumerate(reversed(digits)):
        check = int(_VERHOEFF_D[check][int(_VERHOEFF_P[i % 8][int(digit)])])
    return len(digits) == 12 and digits[0] in "23456789" and check == 0


def italy_fiscal_code(text: str) -> bool:
    """Sixteen characters, the last from tables over odd and even places."""
    odd = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    total = 0
    for i, char in enumerate(text.upper()[:15]):
        value = int(char) if char.isdigit() else ord(char) - 65
        total += odd[value] if i % 2 == 0 else value
    return len(text) == 16 and chr(65 + total % 26) == text[15].upper()


def finland_hetu(text: str) -> bool:
    """Date, century sign, serial; the last character is the number modulo 31."""
    number = text[:6] + text[7:10]
    return number.isdigit() and _HETU[int(number) % 31] == text[10].upper()


def belgium_rrn(digits: str) -> bool:
    """97 minus the first nine digits modulo 97, with a 2 in front for those born from 2000 on."""
    return len(digits) == 11 and int(digits[9:]) in (97 - int(digits[:9]) % 97, 97 - int("2" + digits[:9]) % 97)


def sweden_personnummer(digits: str) -> bool:
    """Luhn over the last ten digits, and a date that may exist."""
    ten = digits[-10:]
    return len(digits) in (10, 12) and luhn(ten) and 1 <= int(ten[2:4]) <= 12 and 1 <= int(ten[4:6]) % 60 <= 31


def swiss_ahv(digits: str) -> bool:
    """EAN-13 beginning with 756."""
    return len(digits) == 13 and digits.startswith("756") and _weighted(digits, (1, 3) * 6 + (1,)) % 10 == 0


def ipv4(text: str) -> bool:
    """Four octets, and no address that names no host (0.0.0.0, netmasks)."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return not (address.is_unspecified or text.startswith("255."))


def ipv6(text: str) -> bool:
    """Any form of RFC 4291 that holds at least two groups."""
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return text.count(":") >= 2 and not address.is_unspecified and sum(c.isalnum() for c in text) >= 2


def bitcoin(text: str) -> bool:
    """Base58check of a legacy address (bech32 is told by its prefix alone)."""
    number = 0
    for char in text:
        place = _BASE58.find(char)
        if place < 0:
            return False
        number = number * 58 + place
    raw = number.to_bytes(32, "big")[-25:]
    return hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


def _weighted(digits: str, weights: "range | tuple[int, ...]") -> int:
    return sum(int(d) * w for d, w in zip(digits, weights, strict=True))
