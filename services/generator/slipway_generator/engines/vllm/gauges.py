"""What vLLM's `/metrics` page says that we pass on: use of the KV cache, and how speculation fares over restarts. It refuses to know how the page is fetched."""

from prometheus_client.parser import text_string_to_metric_families

KV_USE = "vllm:kv_cache_usage_perc"
DRAFTED = "vllm:spec_decode_num_draft_tokens"
ACCEPTED = "vllm:spec_decode_num_accepted_tokens"


def read(text: str) -> dict[str, float]:
    """The figures of a page, added up over engines; those that it lacks are left out. ValueError for a page that is none."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        if family.name in (KV_USE, DRAFTED, ACCEPTED):
            samples = [sample.value for sample in family.samples]
            found[family.name] = sum(samples) / len(samples) if samples and family.name == KV_USE else sum(samples)
    return found


class Running:
    """Counters that only grow, though the server that counts begins at 0 again whenever it is started again."""

    def __init__(self) -> None:
        self._before: dict[str, float] = {}
        self._now: dict[str, float] = {}

    def see(self, figures: dict[str, float]) -> None:
        """The server's counters as they are now."""
        for name in (DRAFTED, ACCEPTED):
            value = figures.get(name, 0.0)
            if value < self._now.get(name, 0.0):
                self._before[name] = self.gained(name)
            self._now[name] = value

    def gained(self, name: str) -> int:
        """All that was counted since this process began."""
        return int(self._before.get(name, 0.0) + self._now.get(name, 0.0))
