"""Numbers by which states know people: social security, tax, health, identity card, passport, driving licence.

A number with a strong check stands alone; one that any nine digits could be needs its name before it. Sources: the issuing authorities' public
descriptions; check digits are in check_digits.py. It refuses to know what is done about a finding.
"""

# ruff: noqa: E501 (a pattern is one line)
from slipway_safety_filter import check_digits as check
from slipway_safety_filter.pattern import Pattern

_SSN_WORDS = r"ssn|social security|social|soc sec|social insurance"
_TAX_WORDS = r"tax(?:payer)?(?: id(?:entification)?)?(?: number| no)?|tin|tfn|nif|steuer(?:-?id|nummer|identifikationsnummer)?|itin|vat"

PATTERNS: tuple[Pattern, ...] = (
    Pattern("pii.ssn", "us_ssn_dashed", r"\b\d{3}-\d{2}-\d{4}\b", 0.9, 9, check.us_ssn),
    Pattern("pii.ssn", "us_ssn_spaced", r"\b\d{3}[ .]\d{2}[ .]\d{4}\b", 0.6, 9, check.us_ssn, context=_SSN_WORDS, near=0.95),
    Pattern("pii.ssn", "us_ssn_plain", r"\b\d{9}\b", 0.0, 9, check.us_ssn, context=_SSN_WORDS, near=0.9),
    Pattern("pii.national_id", "us_itin", r"\b9\d{2}-\d{2}-\d{4}\b", 0.85, 9, check.us_itin),
    Pattern("pii.national_id", "us_ein", r"\b\d{2}-\d{7}\b", 0.0, 9, context=r"ein|employer identification", near=0.8),
    Pattern("pii.national_id", "uk_nino", r"\b[A-CEGHJ-PR-TW-Za-ceghj-pr-tw-z][A-CEGHJ-NPR-TW-Za-ceghj-npr-tw-z] ?\d{2} ?\d{2} ?\d{2} ?[A-Da-d]\b", 0.9, 6),
    Pattern("pii.national_id", "uk_nhs", r"\b\d{3}[ \-]?\d{3}[ \-]?\d{4}\b", 0.0, 10, check.uk_nhs, context=r"nhs(?: number| no)?|health service", near=0.9),
    Pattern("pii.national_id", "canada_sin", r"\b\d{3}[ \-]\d{3}[ \-]\d{3}\b", 0.7, 9, check.canada_sin, context=r"sin|social insurance", near=0.95),
    Pattern("pii.national_id", "spain_dni", r"\b(?:\d{8}|[XYZxyz]-?\d{7})-?[A-HJ-NP-TV-Za-hj-np-tv-z]\b", 0.9, 7, check.spain_dni),
    Pattern("pii.national_id", "france_nir", r"\b[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?\d{2} ?\d{3} ?\d{3} ?\d{2}\b", 0.95, 15, check.france_nir),
    Pattern("pii.national_id", "germany_tax_id", r"\b[1-9]\d(?: ?\d{3}){3}\b", 0.0, 11, context=_TAX_WORDS, near=0.85),
    Pattern("pii.national_id", "italy_fiscal_code", r"\b[A-Za-z]{6}\d{2}[A-EHLMPR-Ta-ehlmpr-t]\d{2}[A-Za-z]\d{3}[A-Za-z]\b", 0.97, 7, check.italy_fiscal_code),
    Pattern("pii.national_id", "netherlands_bsn", r"\b\d{9}\b|\b\d{4}\.\d{2}\.\d{3}\b", 0.0, 9, check.netherlands_bsn, context=r"bsn|burgerservicenummer|sofinummer", near=0.95),
    Pattern("pii.national_id", "poland_pesel", r"\b\d{11}\b", 0.0, 11, check.poland_pesel, context=r"pesel", near=0.95),
    Pattern("pii.national_id", "brazil_cpf_dotted", r"\b\d{3}\.\d{3}\.\d{3}-\d{2}\b", 0.95, 11, check.brazil_cpf),
    Pattern("pii.national_id", "brazil_cpf", r"\b\d{11}\b", 0.0, 11, check.brazil_cpf, context=r"cpf", near=0.95),
    Pattern("pii.national_id", "india_aadhaar", r"\b[2-9]\d{3}[ \-]\d{4}[ \-]\d{4}\b", 0.75, 12, check.india_aadhaar, context=r"a?adhaa?r|uidai|uid", near=0.95),
    Pattern("pii.national_id", "india_aadhaar_plain", r"\b[2-9]\d{11}\b", 0.0, 12, check.india_aadhaar, context=r"a?adhaa?r|uidai|uid", near=0.95),
    Pattern("pii.national_id", "india_pan", r"\b[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]\b", 0.85, 4),
    Pattern("pii.national_id", "finland_hetu", r"\b\d{6}[+\-A-FU-Ya-fu-y]\d{3}[0-9A-Ya-y]\b", 0.9, 9, check.finland_hetu, raw=True),
    Pattern("pii.national_id", "belgium_rrn", r"\b\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}\b", 0.95, 11, check.belgium_rrn),
    Pattern("pii.national_id", "sweden_personnummer", r"\b(?:19|20)?\d{6}[\-+]\d{4}\b", 0.8, 10, check.sweden_personnummer),
    Pattern("pii.national_id", "denmark_cpr", r"\b(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d{2}-\d{4}\b", 0.55, 10, context=r"cpr", near=0.95),
    Pattern("pii.national_id", "swiss_ahv", r"\b756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}\b", 0.97, 13, check.swiss_ahv),
    Pattern("pii.national_id", "portugal_nif", r"\b[1-3]\d{8}\b", 0.0, 9, context=r"nif|contribuinte", near=0.85),
    Pattern("pii.national_id", "australia_tfn", r"\b\d{3} ?\d{3} ?\d{3}\b", 0.0, 9, context=r"tfn|tax file(?: number)?", near=0.9),
    Pattern("pii.national_id", "australia_medicare", r"\b[2-6]\d{3} ?\d{5} ?\d\b", 0.0, 10, context=r"medicare", near=0.85),
    Pattern("pii.passport", "passport", r"\b(?:[A-Z]{1,2}\d{6,8}|\d{9}|[A-Z]\d{2}[A-Z]{2}\d{4}|[CFGHJK][CFGHJKLMNPRTVWXYZ0-9]{8})\b", 0.0, 3,
            context=r"passports?|reisepass|passeport|pasaporte", near=0.85, ignore_case=True),
    Pattern("pii.driver_license", "driver_license", r"\b[A-Z]{0,3}\d{5,14}[A-Z]?\b", 0.0, 5,
            context=r"driv(?:er|ing|ers)'?s?'? ?licen[cs]e|\bdl|licen[cs]e(?: number| no)?|permis de conduire|führerschein", near=0.7, ignore_case=True),
    Pattern("pii.vehicle", "vin", r"\b[A-HJ-NPR-Z0-9]{17}\b", 0.0, 4, context=r"vin|vehicle identification", near=0.9),
    Pattern("pii.health_id", "medical_record", r"\b[A-Z]{0,3}-?\d{5,12}\b", 0.0, 5, context=r"mrn|medical record(?: number| no)?|patient (?:id|number)", near=0.8),
)  # fmt: skip
