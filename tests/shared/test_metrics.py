import pytest
from slipway_shared.metrics import METRICS, Metrics

SERVICES = {declared.service for declared in METRICS.values()} - {"all"}


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_a_service_exposes_what_is_declared_for_it_and_nothing_else(service: str) -> None:
    text = Metrics(service).exposition().decode()
    for name, declared in METRICS.items():
        assert (f"# TYPE {name} " in text) == (declared.service in (service, "all")), name


def test_an_undeclared_or_foreign_metric_cannot_be_used() -> None:
    metrics = Metrics("reranker")
    with pytest.raises(KeyError):
        metrics.counter("slipway_tokens")
    with pytest.raises(TypeError):
        metrics.counter("slipway_rerank_seconds")


def test_an_exemplar_leads_to_the_trace() -> None:
    metrics = Metrics("gateway")
    metrics.histogram("slipway_chat_ttft_seconds", model="m").observe(0.1, {"trace_id": "a" * 32})
    assert f'# {{trace_id="{"a" * 32}"}}' in metrics.exposition().decode()


def test_a_dropped_instrument_is_exposed_no_longer_and_can_come_again() -> None:
    metrics = Metrics("gateway")
    for key in ("a", "b"):
        metrics.gauge("slipway_budget_used_ratio", tenant="t", key=key).set(0.5)
    metrics.drop("slipway_budget_used_ratio", tenant="t", key="a")
    metrics.drop("slipway_budget_used_ratio", tenant="t", key="never seen")
    assert metrics.exposition().decode().count("slipway_budget_used_ratio{") == 1
    metrics.gauge("slipway_budget_used_ratio", tenant="t", key="a").set(0.25)
    assert 'slipway_budget_used_ratio{key="a",tenant="t"} 0.25' in metrics.exposition().decode()


def test_no_label_can_hold_user_text() -> None:
    allowed = {
        "route",
        "method",
        "status",
        "model",
        "stage",
        "outcome",
        "direction",
        "reason",
        "part",
        "upstream",
        "result",
        "model_name",
        "mode",
        "side",
        "verdict",
        "pool",
        "to",
        "tenant",
        "key",
    }
    assert {label for declared in METRICS.values() for label in declared.labels} <= allowed | {"category"}
