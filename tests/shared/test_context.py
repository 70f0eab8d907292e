import re

from hypothesis import given
from hypothesis import strategies as st
from slipway_shared import context

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def test_a_trace_goes_on_with_a_new_span() -> None:
    request = context.from_headers({"traceparent": TRACE}, trusted=True)
    assert request.trace_id == "a" * 32
    assert request.parent_span_id == "b" * 16
    assert request.headers()["traceparent"] == f"00-{'a' * 32}-{request.span_id}-01"


def test_a_malformed_trace_starts_a_new_one() -> None:
    request = context.from_headers({"traceparent": "00-zz-b-01"}, trusted=True)
    assert re.fullmatch("[0-9a-f]{32}", request.trace_id)
    assert request.parent_span_id is None


def test_tenant_and_deadline_are_believed_only_from_inside() -> None:
    headers = {"x-slipway-tenant": "acme", "x-slipway-deadline-ms": "1500", "x-slipway-device-class": "x86"}
    inside = context.from_headers(headers, trusted=True)
    assert inside.tenant == "acme"
    assert inside.remaining_seconds is not None
    assert inside.remaining_seconds <= 1.5
    outside = context.from_headers(headers, trusted=False)
    assert (outside.tenant, outside.deadline, outside.device_class) == (context.DEFAULT_TENANT, None, None)


def test_a_deadline_only_ever_shrinks() -> None:
    request = context.from_headers({"x-slipway-deadline-ms": "1000"}, trusted=True)
    assert request.with_deadline(60).deadline == request.deadline
    shorter = request.with_deadline(0.1).remaining_seconds
    assert shorter is not None
    assert shorter <= 0.1


@given(
    st.dictionaries(st.sampled_from(["traceparent", "x-request-id", "x-slipway-tenant", "x-slipway-deadline-ms"]), st.text(max_size=200))
)
def test_any_header_gives_a_context_whose_headers_are_safe(headers: dict[str, str]) -> None:
    out = context.from_headers(headers, trusted=True).headers()
    assert all(re.fullmatch(r"[\x21-\x7e]{1,200}", value) for value in out.values())


def test_ids_come_from_one_store_of_randomness_and_never_twice() -> None:
    entropy = context.Entropy()
    made = [context.from_headers({}, trusted=False, entropy=entropy) for _ in range(200)]
    for ids, digits in (({m.trace_id for m in made}, 32), ({m.span_id for m in made}, 16), ({m.request_id for m in made}, 28)):
        assert len(ids) == 200 and all(len(one) == digits for one in ids)
