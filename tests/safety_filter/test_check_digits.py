"""Check digits: published examples pass, and every single-digit change of one is noticed."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway_safety_filter import check_digits as check

VALID: dict[Callable[..., bool], tuple[str, ...]] = {
    check.card: ("4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "3530111333300000", "2221000000000009"),
    check.iban: ("GB82WEST12345698765432", "DE89370400440532013000", "FR1420041010050500013M02606", "NO9386011117947"),
    check.us_ssn: ("078051120", "219099999"),
    check.uk_nhs: ("9434765919",),
    check.canada_sin: ("130692544",),
    check.spain_dni: ("12345678Z", "X1234567L"),
    check.france_nir: ("255081416802538",),
    check.netherlands_bsn: ("111222333",),
    check.poland_pesel: ("44051401359",),
    check.brazil_cpf: ("52998224725",),
    check.india_aadhaar: ("999941057058",),
    check.italy_fiscal_code: ("RSSMRA85T10A562S",),
    check.finland_hetu: ("131052-308T",),
    check.belgium_rrn: ("85073003328",),
    check.sweden_personnummer: ("8112189876",),
    check.swiss_ahv: ("7569217076985",),
    check.aba_routing: ("021000021",),
    check.ipv4: ("192.168.0.1", "8.8.8.8"),
    check.ipv6: ("2001:db8::1", "fe80::1", "4f8a:c99e:dc86:faf9:5988:5f63:375e:8a2a"),
    check.bitcoin: ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",),
}
CHECKED = (
    check.card,
    check.iban,
    check.uk_nhs,
    check.canada_sin,
    check.netherlands_bsn,
    check.india_aadhaar,
    check.swiss_ahv,
    check.brazil_cpf,
)


@pytest.mark.parametrize("accept", VALID, ids=lambda f: f.__name__)
def test_published_examples_pass(accept: Callable[..., bool]) -> None:
    for example in VALID[accept]:
        assert accept(example), example


@pytest.mark.parametrize("accept", CHECKED, ids=lambda f: f.__name__)
def test_every_changed_digit_is_noticed(accept: Callable[..., bool]) -> None:
    example = VALID[accept][0]
    for place, digit in enumerate(example):
        if digit.isdigit():
            for other in set("0123456789") - {digit}:
                assert not accept(example[:place] + other + example[place + 1 :])


@given(st.text(alphabet="0123456789", max_size=24))
def test_any_digits_are_judged(digits: str) -> None:
    for accept in (check.card, check.us_ssn, check.us_itin, check.uk_nhs, check.canada_sin, check.france_nir, check.poland_pesel,
                   check.brazil_cpf, check.india_aadhaar, check.belgium_rrn, check.sweden_personnummer, check.swiss_ahv, check.aba_routing,
                   check.netherlands_bsn, check.iban, check.ipv4, check.ipv6):  # fmt: skip
        assert accept(digits) in (True, False)


def test_numbers_never_issued_are_refused() -> None:
    assert not any(map(check.us_ssn, ("000123456", "666123456", "900123456", "123004567", "123450000", "111111111")))
    assert not check.ipv4("256.1.1.1")
    assert not check.ipv4("255.255.255.0")
