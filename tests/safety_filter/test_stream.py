"""A match split over windows is never missed, and no part of it is shown: at every place, in pieces of every small size."""

import pytest
from slipway_safety_filter import leaks
from slipway_safety_filter.check import Checker
from slipway_safety_filter.policy import Policy
from slipway_safety_filter.spans import MAX_MATCH_CHARS
from slipway_safety_filter.stream import Refused, Window
from slipway_shared.contracts import CheckRequest

SECRETS = {
    "email": "jane.doe+list@mail.example.co.uk",
    "phone": "+49 30 901820-77",
    "phone_us": "(212) 555-0143 ext. 12",
    "card": "4111 1111 1111 1111",
    "iban": "GB82 WEST 1234 5698 7654 32",
    "iban_low": "de89370400440532013000",
    "ssn": "219-09-9999",
    "ipv4": "203.0.113.77",
    "ipv6": "2001:db8:85a3::8a2e:370:7334",
    "mac": "00:1a:2b:3c:4d:5e",
    "bitcoin": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "ethereum": "0x52908400098527886E0F7030069857D2E4169EE7",
    "cpf": "529.982.247-25",
    "dni": "12345678Z",
    "fiscal": "RSSMRA85T10A562S",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "github": "ghp_" + "a1B2" * 9,
    "openai": "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123456",
    "pem": "-----BEGIN RSA PRIVATE KEY-----",
    "street": "221 Baker Street",
    "street_de": "Lindenstraße 12",
    "box": "P.O. Box 1234",
}
BEFORE = "Here is what you asked for, as it stands in the file: "
AFTER = " and that is all there is to say about it, thank you."


def _whole(checker: Checker, policy: Policy, text: str) -> str:
    answer = checker.check(CheckRequest(text=text, side="output"), policy)
    return answer.text if answer.text is not None else text


def _streamed(checker: Checker, policy: Policy, pieces: list[str]) -> tuple[str, Window]:
    window = Window(lambda request: checker.check(request, policy))
    return "".join([*(window.push(piece) for piece in pieces), window.finish()]), window


@pytest.mark.parametrize("name", SECRETS)
def test_a_value_cut_anywhere_is_redacted_as_a_whole(checker: Checker, strict_policy: Policy, name: str) -> None:
    value = SECRETS[name]
    text = BEFORE + value + AFTER
    expected = _whole(checker, strict_policy, text)
    assert value not in expected
    for cut in range(len(BEFORE) - 2, len(BEFORE) + len(value) + 3):
        shown, _ = _streamed(checker, strict_policy, [text[:cut], text[cut:]])
        assert shown == expected, (cut, text[:cut])


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("name", SECRETS)
def test_small_pieces_show_no_part_of_it(checker: Checker, strict_policy: Policy, name: str, size: int) -> None:
    text = BEFORE + SECRETS[name] + AFTER
    shown, window = _streamed(checker, strict_policy, [text[i : i + size] for i in range(0, len(text), size)])
    assert shown == _whole(checker, strict_policy, text)
    assert window.held_chars <= MAX_MATCH_CHARS


def test_the_default_policy_shows_prose_at_once(checker: Checker, default_policy: Policy) -> None:
    """Where only credentials and numbers are acted on, a word is shown in the step that brings it."""
    window = Window(lambda request: checker.check(request, default_policy))
    for piece in ("The ", "river", " rises", " in", " the", " hills", " north", " of", " town", "."):
        assert window.push(piece) == piece


def test_what_is_held_is_bounded_whatever_comes(checker: Checker, strict_policy: Policy) -> None:
    for unit in ("4", "a", "a@", "A1", "1 ", "x.", "-----BEGIN", "key=", "+1", "Ab "):
        _, window = _streamed(checker, strict_policy, [unit] * 120)
        assert window.held_chars <= MAX_MATCH_CHARS + len(unit)


@pytest.mark.parametrize("dress", ["plain", "spaced", "upper", "reversed", "hex"])
def test_a_canary_in_single_characters_stops_the_stream(checker: Checker, default_policy: Policy, dress: str) -> None:
    canary = leaks.mint()
    said = {"plain": canary, "spaced": " ".join(canary), "upper": canary.upper(), "reversed": canary[::-1], "hex": canary.encode().hex()}[
        dress
    ]
    window = Window(lambda request: checker.check(request, default_policy))
    with pytest.raises(Refused):
        for char in f"It begins like this: {said} and goes on":
            window.push(char)
