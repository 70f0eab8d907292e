"""Every metric of the platform, declared once: name, kind, unit in the name, labels, buckets.

Dashboards, SLOs and analysis templates may name only what stands in METRICS; a test holds them to it. It refuses to know who measures: a service
builds one `Metrics` and passes it on. Names follow OpenTelemetry's GenAI conventions in meaning; `vllm:` names are what inference gateways read.
"""

import time
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TOKEN_GAPS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5)
TOKENS = (8, 32, 128, 512, 1024, 2048, 4096, 8192, 16384, 32768)

InstrumentT = TypeVar("InstrumentT", Counter, Gauge, Histogram)


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric. `service` is who exports it (`all`: every service)."""

    service: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = FAST


METRICS: dict[str, Declared] = {
    # every service
    "slipway_http_requests": Declared("all", "counter", "HTTP requests answered", ("route", "method", "status")),
    "slipway_http_request_seconds": Declared("all", "histogram", "from the first byte in to the last byte out", ("route",)),
    "slipway_http_in_flight": Declared("all", "gauge", "HTTP requests being served"),
    "slipway_ready": Declared("all", "gauge", "1 while the service can serve"),
    "slipway_start_seconds": Declared("all", "gauge", "from process start to ready"),
    "slipway_peak_rss_bytes": Declared("all", "gauge", "highest resident memory so far"),
    # gateway
    "slipway_chat_ttft_seconds": Declared("gateway", "histogram", "request in to first content token out", ("model",)),
    "slipway_chat_gap_seconds": Declared("gateway", "histogram", "between content frames", ("model",), TOKEN_GAPS),
    "slipway_stage_seconds": Declared("gateway", "histogram", "one stage of the pipeline", ("stage",)),
    "slipway_answers": Declared("gateway", "counter", "how a chat request ended", ("outcome",)),
    "slipway_tokens": Declared("gateway", "counter", "tokens accounted", ("model", "direction")),
    "slipway_refused": Declared("gateway", "counter", "requests refused at the door", ("reason",)),
    "slipway_degraded": Declared("gateway", "counter", "a part was away and the pipeline went on without it", ("part",)),
    "slipway_breaker_open": Declared("gateway", "gauge", "1 while the upstream's breaker is open", ("upstream",)),
    "slipway_pool_running": Declared("gateway", "gauge", "requests that a pool of generators answers now", ("pool",)),
    "slipway_pool_waiting": Declared("gateway", "gauge", "requests that wait for their turn at a pool", ("pool",)),
    "slipway_pool_limit": Declared("gateway", "gauge", "requests that a pool may run at once, as adapted", ("pool",)),
    "slipway_pool_proved": Declared("gateway", "gauge", "1 while the pool answered lately, somebody or the watchdog", ("pool",)),
    "slipway_fallbacks": Declared(
        "gateway", "counter", "answers that another pool gave, or that were quoted, in place of the chosen pool", ("to",)
    ),
    "slipway_retries": Declared("gateway", "counter", "upstream calls tried again", ("upstream",)),
    "slipway_hedges": Declared("gateway", "counter", "second calls to a part that was late", ("upstream",)),
    "slipway_limiter_local": Declared("gateway", "counter", "limit decisions made without the store"),
    "slipway_budget_used_ratio": Declared(
        "gateway", "gauge", "paid share of a month's budget, of a key, or without `key` of its tenant", ("tenant", "key")
    ),
    "slipway_guard_hold_seconds": Declared("gateway", "histogram", "how long output was held back for moderation"),
    "slipway_batches": Declared("gateway", "counter", "batches that ended", ("outcome",)),
    "slipway_batches_running": Declared("gateway", "gauge", "batches that this process runs"),
    "slipway_batch_lines": Declared("gateway", "counter", "lines of batches that got a result", ("result",)),
    # generator; the first brings counters of the engine's own up to date when it is read, so it stands before them
    "vllm:num_requests_running": Declared("generator", "gauge", "sequences in the batch", ("model_name",)),
    "slipway_generate_queue_seconds": Declared("generator", "histogram", "arrival to first prefill"),
    "slipway_generate_ttft_seconds": Declared("generator", "histogram", "arrival to first token"),
    "slipway_generate_gap_seconds": Declared("generator", "histogram", "between tokens of one sequence", (), TOKEN_GAPS),
    "slipway_generate_prefill_seconds": Declared("generator", "histogram", "first prefill to first token"),
    "slipway_generate_decode_seconds": Declared("generator", "histogram", "first token to last"),
    "slipway_generate_tokens": Declared("generator", "counter", "tokens processed", ("direction",)),
    "slipway_generate_finished": Declared("generator", "counter", "requests ended", ("reason",)),
    "slipway_prefix_cache_bytes": Declared("generator", "gauge", "state of idle sessions kept outside the KV cache"),
    "slipway_prefix_cache_tokens": Declared("generator", "counter", "prompt tokens looked up in the prefix cache", ("result",)),
    "slipway_speculative_tokens": Declared("generator", "counter", "tokens drafted", ("result",)),
    "slipway_generate_cpu_seconds": Declared("generator", "counter", "CPU time of the process, the energy proxy where RAPL cannot be read"),
    "slipway_generate_energy_joules": Declared("generator", "counter", "energy of the whole processor package, where RAPL can be read"),
    "vllm:num_requests_waiting": Declared("generator", "gauge", "requests waiting for admission", ("model_name",)),
    "vllm:kv_cache_usage_perc": Declared("generator", "gauge", "share of the KV cache in use, 0-1", ("model_name",)),
    "vllm:spec_decode_num_draft_tokens": Declared("generator", "counter", "tokens drafted", ("model_name",)),
    "vllm:spec_decode_num_accepted_tokens": Declared("generator", "counter", "drafted tokens that were right", ("model_name",)),
    # retriever
    "slipway_embed_seconds": Declared("retriever", "histogram", "one embedding batch"),
    "slipway_embed_texts": Declared("retriever", "counter", "texts embedded"),
    "slipway_search_seconds": Declared("retriever", "histogram", "one search", ("mode",)),
    "slipway_ingested_files": Declared("retriever", "counter", "files ingested", ("status",)),
    "slipway_passages": Declared("retriever", "gauge", "passages stored"),
    # reranker
    "slipway_rerank_seconds": Declared("reranker", "histogram", "one rerank call"),
    "slipway_rerank_pairs": Declared("reranker", "counter", "query-passage pairs scored"),
    # safety filter
    "slipway_safety_seconds": Declared("safety-filter", "histogram", "one check", ("side",)),
    "slipway_safety_verdicts": Declared("safety-filter", "counter", "checks by verdict", ("side", "verdict")),
    "slipway_safety_findings": Declared("safety-filter", "counter", "findings by category", ("category",)),
}


class Metrics:
    """One process's instruments, built from METRICS for one service. Asking for an undeclared or foreign name is a KeyError."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self.started = time.monotonic()
        # The library checks and stringifies labels at every look-up, which is a tenth of a small request; it keeps its children for ever as well.
        self._children: dict[tuple[Any, ...], Counter | Gauge | Histogram] = {}
        self._instruments: dict[str, Counter | Gauge | Histogram] = {
            name: _build(name, declared, self.registry) for name, declared in METRICS.items() if declared.service in (service, "all")
        }

    def counter(self, name: str, **labels: str) -> Counter:
        """The counter `name`, with `labels` filled in; keep the result where it is used per token."""
        return self._child(name, Counter, labels)

    def gauge(self, name: str, **labels: str) -> Gauge:
        """The gauge `name`."""
        return self._child(name, Gauge, labels)

    def histogram(self, name: str, **labels: str) -> Histogram:
        """The histogram `name`."""
        return self._child(name, Histogram, labels)

    def drop(self, name: str, **labels: str) -> None:
        """The instrument `name` with `labels` is exposed no longer: what it told of is gone. Whoever kept it must not use it again."""
        for key in [key for key in self._children if key[0] == name and key[2:] == tuple(labels.items())]:
            del self._children[key]
            self._instruments[name].remove_by_labels(labels)

    def exposition(self) -> bytes:
        """Everything as OpenMetrics text, exemplars included."""
        # The library's default escaping turns the colon of "vllm:" into an underscore, though colons are legal in names.
        return generate_latest(self.registry, escaping="allow-utf-8")

    def _child(self, name: str, kind: type[InstrumentT], labels: dict[str, str]) -> InstrumentT:
        key = (name, kind, *labels.items())
        child = self._children.get(key)
        if child is None:
            instrument = self._instruments[name]
            if not isinstance(instrument, kind):
                raise TypeError(f"{name} is no {kind.__name__}")
            child = self._children[key] = instrument.labels(**labels) if labels else instrument
        return cast("InstrumentT", child)


def _build(name: str, declared: Declared, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    match declared.kind:
        case "counter":
            return Counter(name, declared.help, declared.labels, registry=registry)
        case "gauge":
            return Gauge(name, declared.help, declared.labels, registry=registry)
        case "histogram":
            return Histogram(name, declared.help, declared.labels, buckets=declared.buckets, registry=registry)
