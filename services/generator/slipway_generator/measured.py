"""Generation with its figures: every token that the service sends passes here once, and is counted and timed.

It refuses to know engines and dialects.
"""

import resource
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from slipway_shared import errors
from slipway_shared.metrics import Metrics

from slipway_generator.energy import Rapl
from slipway_generator.engine import Delta, Engine, GenerateRequest, Generates


class Meter:
    """The generator's instruments, looked up once."""

    def __init__(self, metrics: Metrics, engine: Engine, model: str) -> None:
        self.queue = metrics.histogram("slipway_generate_queue_seconds")
        self.ttft = metrics.histogram("slipway_generate_ttft_seconds")
        self.gap = metrics.histogram("slipway_generate_gap_seconds")
        self.prefill = metrics.histogram("slipway_generate_prefill_seconds")
        self.decode = metrics.histogram("slipway_generate_decode_seconds")
        self._metrics = metrics
        self._cpu = metrics.counter("slipway_generate_cpu_seconds")
        self._cpu_seen = 0.0
        self._rapl = Rapl()
        # Without a meter there is no sample: a zero would say that nothing was used.
        self._joules = metrics.counter("slipway_generate_energy_joules") if self._rapl.domains else None
        self._drafts = metrics.counter("vllm:spec_decode_num_draft_tokens", model_name=model)
        self._right = metrics.counter("vllm:spec_decode_num_accepted_tokens", model_name=model)
        self._load = engine.load
        self._drafts_seen = self._right_seen = 0
        metrics.gauge("vllm:num_requests_running", model_name=model).set_function(self._running)
        metrics.gauge("vllm:num_requests_waiting", model_name=model).set_function(lambda: engine.load().waiting)
        metrics.gauge("slipway_prefix_cache_bytes").set_function(lambda: engine.load().kept_bytes)
        metrics.gauge("vllm:kv_cache_usage_perc", model_name=model).set_function(lambda: engine.load().kv_use)

    def finished(self, reason: str) -> None:
        """A request ended; CPU time and energy are brought up to date."""
        self._metrics.counter("slipway_generate_finished", reason=reason).inc()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        now = usage.ru_utime + usage.ru_stime
        self._cpu.inc(max(0.0, now - self._cpu_seen))
        self._cpu_seen = now
        if self._joules is not None:
            self._joules.inc(self._rapl.gained())

    def last(self, delta: Delta) -> None:
        """The figures that come with a sequence's end."""
        if delta.timing is not None:
            self.queue.observe(delta.timing.queue_seconds)
            self.prefill.observe(delta.timing.prefill_seconds)
        if delta.counts is not None:
            counts = delta.counts
            self._count("slipway_generate_tokens", direction="prompt", by=counts.prompt)
            self._count("slipway_generate_tokens", direction="completion", by=counts.completion)
            self._count("slipway_prefix_cache_tokens", result="hit", by=counts.cached)
            self._count("slipway_prefix_cache_tokens", result="miss", by=counts.prompt - counts.cached)
            self._speculated(counts.drafted, counts.accepted)

    def _running(self) -> int:
        """Asked at every scrape; what the engine counted of its speculation by itself is brought up to date along with it."""
        load = self._load()
        drafted, accepted = load.drafted - self._drafts_seen, load.accepted - self._right_seen
        self._drafts_seen, self._right_seen = load.drafted, load.accepted
        self._speculated(drafted, accepted)
        return load.running

    def _speculated(self, drafted: int, accepted: int) -> None:
        self._count("slipway_speculative_tokens", result="accepted", by=accepted)
        self._count("slipway_speculative_tokens", result="rejected", by=max(0, drafted - accepted))
        self._drafts.inc(drafted)
        self._right.inc(accepted)

    def _count(self, name: str, *, by: int, **labels: str) -> None:
        self._metrics.counter(name, **labels).inc(by)


async def measured(engine: Generates, request: GenerateRequest, meter: Meter) -> AsyncGenerator[Delta]:
    """`engine.generate(request)`, observed; its end is counted by reason, abandonment and errors too."""
    arrived = time.monotonic()
    first: float | None = None
    previous = arrived
    reason = "abandoned"
    try:
        async with aclosing(engine.generate(request)) as deltas:
            async for delta in deltas:
                now = time.monotonic()
                if delta.tokens and first is None:
                    first = previous = now
                    meter.ttft.observe(now - arrived)
                elif delta.tokens:
                    meter.gap.observe((now - previous) / len(delta.tokens))
                    previous = now
                if delta.finish is not None:
                    reason = delta.finish
                    meter.last(delta)
                yield delta
    except errors.SlipwayError as error:
        reason = error.error_code or error.type
        raise
    finally:
        if first is not None:
            meter.decode.observe(previous - first)
        meter.finished(reason)
