"""Spans over OpenTelemetry's SDK, made only where an OTLP address is set; the context itself always travels (context.py).

It knows how a finished request becomes a span. It refuses user text: attributes are routes, codes and ids.
"""

import time
from typing import Any

from slipway_shared.context import RequestContext

_exporting: dict[str, Any] = {}


def export_to(endpoint: str, service: str) -> None:
    """Send this process's spans to `endpoint` (OTLP over HTTP) under the name `service`. Call once, at start."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ids = _given_ids()
    provider = TracerProvider(resource=Resource.create({"service.name": f"slipway-{service}"}), id_generator=ids)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    _exporting["ids"], _exporting["provider"] = ids, provider
    _exporting["tracer"] = provider.get_tracer("slipway")


def flush() -> None:
    """Send what is buffered; called while a service stops."""
    if provider := _exporting.pop("provider", None):
        _exporting.clear()
        provider.shutdown()


def record(request: RequestContext, method: str, route: str, seconds: float, status: int) -> None:
    """One finished server span, with the ids that the context already told everyone."""
    tracer = _exporting.get("tracer")
    if tracer is None or not request.sampled:
        return
    from opentelemetry import trace

    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    parent = trace.SpanContext(int(request.trace_id, 16), int(request.parent_span_id or "0", 16), is_remote=True, trace_flags=flags)
    now = time.time_ns()
    _exporting["ids"].next_ids = (int(request.trace_id, 16), int(request.span_id, 16))
    span = tracer.start_span(
        f"{method} {route}",
        context=trace.set_span_in_context(trace.NonRecordingSpan(parent)) if request.parent_span_id else None,
        kind=trace.SpanKind.SERVER,
        start_time=now - int(seconds * 1e9),
        attributes={"http.response.status_code": status, "slipway.request_id": request.request_id, "slipway.tenant": request.tenant},
    )
    span.end(end_time=now)


def _given_ids() -> Any:
    """A generator that gives the SDK the ids that the request already carries, instead of new ones. Used on the event loop's thread only."""
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class GivenIds(IdGenerator):
        next_ids: tuple[int, int] = (0, 0)

        def generate_span_id(self) -> int:
            return self.next_ids[1]

        def generate_trace_id(self) -> int:
            return self.next_ids[0]

        def is_trace_id_random(self) -> bool:
            return True

    return GivenIds()
