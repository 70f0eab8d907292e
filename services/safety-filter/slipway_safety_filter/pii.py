"""Structured personal data: mail, phone, card, account, address, birth date, network addresses.

It knows what these look like and which check tells them from other text. National numbers and credentials have files of their own.
It refuses to know what is done about a finding.
"""

# ruff: noqa: E501 (a pattern is one line)
from slipway_safety_filter import check_digits, locate
from slipway_safety_filter.pattern import Pattern, bare, linear

_PHONE_WORDS = (
    r"answering|phones?|telephone|tel|call(?:ed|ing)?|mobile|cell(?:phone|ular)?|fax|dial|contact|reach|sms|text (?:me|us|him|her)|whatsapp|number|hotline|"
    r"line|ring|telefon|handy|numéro|téléphone|teléfono|telefono"
)
_EXTENSION = r"(?:\s?(?:x|ext\.?|extension|#)\s?\d{1,6})?"
_DATE = linear(
    r"^(?:(?:19|20)\d{2}[\-./ ](?:0?[1-9]|1[0-2])[\-./ ](?:0?[1-9]|[12]\d|3[01])|(?:0?[1-9]|[12]\d|3[01])[\-./ ](?:0?[1-9]|1[0-2])[\-./ ](?:19|20)?\d{2}|"
    r"(?:0?[1-9]|1[0-2])[\-./ ](?:0?[1-9]|[12]\d|3[01])[\-./ ](?:19|20)?\d{2}|(?:1[5-9]|20)\d{2}[\-/ ](?:1[5-9]|20)\d{2})$"
)
_VERSION = linear(r"^\d{1,3}(?:\.\d{1,3}){1,5}$")
_MONTH = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
_DAY_FORMS = (
    rf"(?:\d{{1,2}}[/.\-]\d{{1,2}}[/.\-](?:19|20)?\d{{2}}|(?:19|20)\d{{2}}[/.\-]\d{{1,2}}[/.\-]\d{{1,2}}|"
    rf"\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH},? (?:19|20)\d{{2}}|{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d{{2}})"
)
_STREET = (
    r"(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|place|pl|square|sq|terrace|ter|way|parkway|pkwy|circle|cir|highway|"
    r"hwy|trail|trl|crescent|close|row|alley|plaza|grove|mews|walk)"
)
_UNIT = r"(?:[,\n]?\s{0,2}(?:apt\.?|apartment|suite|ste\.?|unit|flat|floor|fl\.?|#)\s?[\w\-]{1,6})?"
_TOWN = r"(?:[,\n]\s{0,2}(?:[A-Z][\w.'\-]+ ?){1,3}(?:,? ?[A-Z]{2})?(?:,? ?\d{5}(?:-\d{4})?|,? ?[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|,? ?[A-Z]\d[A-Z] ?\d[A-Z]\d)?)?"


def _phone(value: str) -> bool:
    digits = bare(value.lower().partition("x")[0].partition("e")[0].partition("#")[0])
    return 7 <= len(digits.lstrip("+")) <= 15 and len(set(digits)) > 2 and not _DATE.match(value) and not _looks_numeric(value)


def _looks_numeric(value: str) -> bool:
    """An address, a version, or a list of plain numbers, rather than a phone number."""
    return check_digits.ipv4(value) or (_VERSION.match(value) is not None and value.count(".") == 3)


def _grouped_phone(value: str) -> bool:
    # "09/27 123" is a card's date and code more often than a number to call.
    long = value.startswith("(") or len(bare(value)) >= 8
    return long and _phone(value) and any(c in value for c in " -()/.") and not value.replace(".", "", 1).isdigit()


PATTERNS: tuple[Pattern, ...] = (
    Pattern("pii.email", "email", r"[\p{L}\p{N}_][\p{L}\p{N}._%+'\-]{0,63}@(?:[\p{L}\p{N}](?:[\p{L}\p{N}\-]{0,40})\.){1,4}\p{L}{2,24}", 0.99),
    Pattern("pii.email", "email_spelled",
            r"\b([a-z0-9][a-z0-9._+\-]* ?(?:\[at\]|\(at\)|\{at\}| at ) ?[a-z0-9\-]+ ?(?:\[dot\]|\(dot\)|\{dot\}| dot ) ?(?:[a-z0-9\-]+ ?(?:\[dot\]|\(dot\)| dot ) ?)?[a-z]{2,10})\b",
            0.85, ignore_case=True),
    Pattern("pii.phone", "phone_international", rf"(\+\d{{1,3}}[ .\-/]?(?:\(\d{{1,5}}\)[ .\-/]?)?(?:\d{{1,5}}[ .\-/]?){{1,6}}\d{{1,4}}{_EXTENSION})\b", 0.9, 8, _phone, raw=True),
    Pattern("pii.phone", "phone_00", rf"\b(00\d{{1,3}}[ .\-/]?(?:\(\d{{1,5}}\)[ .\-/]?)?(?:\d{{1,5}}[ .\-/]?){{1,6}}\d{{1,4}}{_EXTENSION})\b", 0.85, 9, _phone, raw=True),
    Pattern("pii.phone", "phone_nanp", rf"((?:\b\+?1[ .\-])?(?:\(\d{{3}}\) ?|\b\d{{3}}[\-. ])\d{{3}}[\-. ]\d{{4}}{_EXTENSION})\b", 0.75, 10, _phone, raw=True),
    Pattern("pii.phone", "phone_grouped", rf"(\(\d{{1,5}}\) ?\d{{2,5}}(?:[ \-./]\d{{2,5}}){{0,4}}{_EXTENSION}|\b0\d{{1,4}}[ \-/]\d{{2,8}}(?:[ \-./]\d{{2,8}}){{0,4}}{_EXTENSION})\b",
            0.6, 7, _grouped_phone, raw=True, context=_PHONE_WORDS, near=0.8),
    Pattern("pii.phone", "phone_near_word", rf"(?:\b|\()(\d{{1,5}}\)?(?:[ \-./]?\d{{2,5}}){{1,5}}{_EXTENSION})\b", 0.0, 7, _phone, raw=True, context=_PHONE_WORDS, near=0.65),
    Pattern("pii.card", "card_luhn", r"\b\d(?:[ .\-]?\d){11,}\b", 0.97, 12, locate=locate.cards),
    Pattern("pii.iban", "iban_mod97", r"\b[A-Za-z]{2}\d{2}", 0.99, 6, locate=locate.ibans),
    Pattern("pii.bank_account", "aba_routing", r"\b\d{9}\b", 0.0, 9, check_digits.aba_routing, context=r"routing|aba|rtn", near=0.9),
    Pattern("pii.bank_account", "account_number", r"\b\d{6,17}\b", 0.0, 6, lambda d: len(set(d)) > 1, context=r"(?:bank )?account(?: (?:number|no|nr))|acct|sort code", near=0.7),
    Pattern("pii.bank_account", "sort_code", r"\b\d{2}-\d{2}-\d{2}\b", 0.0, 6, context=r"sort[ \-]?code", near=0.9),
    Pattern("pii.bank_account", "swift", r"\b[A-Z]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?\b", 0.0, 0, context=r"swift(?: code)?|bic", near=0.9),
    Pattern("pii.crypto", "bitcoin_base58check", r"\b[13][1-9A-HJ-NP-Za-km-z]{25,34}\b", 0.98, 1, check_digits.bitcoin),
    Pattern("pii.crypto", "bitcoin_bech32", r"\bbc1[02-9ac-hj-np-z]{11,71}\b", 0.95),
    Pattern("pii.crypto", "ethereum", r"\b0x[0-9a-fA-F]{40}\b", 0.9),
    Pattern("pii.ip", "ipv4", r"\b\d{1,3}(?:\.\d{1,3}){3}\b", 0.9, 4, check_digits.ipv4, raw=True, context=r"version|v|release|section|chapter|figure", near=0.3),
    Pattern("pii.ip", "ipv6", r"(?:^|[^\w:])((?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?:\.?\d{1,3}){0,4})(?:%\w{1,15})?", 0.9, 1, check_digits.ipv6, raw=True),
    Pattern("pii.mac", "mac", r"\b[0-9A-Fa-f]{2}(?:[:\-][0-9A-Fa-f]{2}){5}\b", 0.9, 0),
    Pattern("pii.birth_date", "birth_date", rf"\b({_DAY_FORMS})\b", 0.0, 3,
            context=r"born(?: on| in| at)?|birth(?:day|date)?(?: is| was)?|date of birth|d\.?o\.?b\.?|geburtsdatum|date de naissance", near=0.9, ignore_case=True),
    Pattern("pii.address", "street", rf"\b(\d{{1,5}}[A-Za-z]?,? (?:[NSEW]\.? )?(?:[\p{{L}}0-9][\p{{L}}0-9'.\-]* ){{1,4}}{_STREET}\b\.?{_UNIT}{_TOWN})",
            0.0, 1, context=r"address|live[sd]?|liv(?:e|ing)|residen(?:ce|t|ts|ces)|reside|moved|ship(?:ped)?|deliver(?:y|ed)?|mail(?:ing|ed)?|home|located|visit|send|office", near=0.8, ignore_case=True),
    Pattern("pii.address", "street_capitalised", rf"\b(\d{{1,5}}[A-Za-z]?,? (?:[NSEW]\.? )?(?:(?:[A-Z][\p{{L}}'.\-]+|\d{{1,3}}(?:st|nd|rd|th)) ){{1,3}}(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Square|Terrace|Parkway|Pkwy|Crescent|Highway|Hwy|Way|Place|Circle|Trail)\b\.?{_UNIT}{_TOWN})",
            0.8, 1),
    Pattern("pii.address", "street_german", r"(\p{Lu}[\p{L}\-]+(?:straße|strasse|str\.|weg|platz|allee|gasse|ufer|damm|ring) \d{1,4}(?: ?[a-z]\b)?)", 0.8, 1),
    Pattern("pii.address", "street_romance", r"\b(\d{1,4},? (?:bis |ter )?(?:rue|avenue|boulevard|place|chemin|impasse|allée|calle|via|rua|piazza|plaza|viale|corso|avenida) (?:de la |de l'|du |des |de |d'|della |dei |di |do |da )?\p{L}[\p{L}'\-]+(?: \p{Lu}[\p{L}'\-]+)?)", 0.75, 1, ignore_case=True),
    Pattern("pii.address", "post_box", r"\b(?:P\.? ?O\.? ?Box|Post Office Box|Postfach|Boîte postale) \d{1,6}\b", 0.8, 1, ignore_case=True),
    Pattern("pii.name", "titled_name", r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Professor|Herr|Frau|Monsieur|Madame|Señora?)\.? (\p{Lu}[\p{L}'\-]+(?: \p{Lu}[\p{L}'\-]+){0,2})", 0.7),
    Pattern("pii.name", "introduced_name", r"(?:[Mm]y name is|[Mm]y name's|[Ii] am called|[Ss]igned,|[Rr]egards,|[Ss]incerely,)\s{1,2}(\p{Lu}[\p{L}'\-]+(?: \p{Lu}[\p{L}'.\-]*){0,2})", 0.75),
)  # fmt: skip
