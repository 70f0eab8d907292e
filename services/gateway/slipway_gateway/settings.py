"""What the gateway can be told: addresses of the parts, keys, time bounds, thresholds. It holds no value that another module could read by itself."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict
from slipway_shared.settings import ServiceSettings, service_config

from slipway_gateway.account import Price
from slipway_gateway.pools import PoolSpec

_INTERNAL = "http://127.0.0.1:8090"


class GatewaySettings(ServiceSettings):
    """Settings of `slipway_gateway`. An address that is set to the empty string means: this part is absent, go on without it."""

    # Unlike the other services, an empty variable is a value here.
    model_config = service_config("SLIPWAY_GATEWAY_") | SettingsConfigDict(env_ignore_empty=False)

    port: int = Field(default=8101, ge=0, le=65535)
    generator_url: str | None = Field(default=f"{_INTERNAL}/generator", validation_alias="SLIPWAY_GENERATOR_URL")
    retriever_url: str | None = Field(default=f"{_INTERNAL}/retriever", validation_alias="SLIPWAY_RETRIEVER_URL")
    reranker_url: str | None = Field(default=f"{_INTERNAL}/reranker", validation_alias="SLIPWAY_RERANKER_URL")
    safety_url: str | None = Field(default=f"{_INTERNAL}/safety", validation_alias="SLIPWAY_SAFETY_URL")
    redis_url: str | None = Field(default="redis://127.0.0.1:8091/0", validation_alias="SLIPWAY_REDIS_URL")

    bootstrap_key: SecretStr | None = Field(default=None, description="a key of tenant `local`; the command line makes one")
    admin_token: SecretStr | None = Field(default=None, description="opens /admin; without it those routes answer 404")

    models_dir: Path | None = Field(default=None, description="folder of flavors that /v1/models/{id}/builds offers; None: there are none")
    keys_file: Path | None = Field(default=None, description="keys are kept in this file instead of in Redis")
    key_cache_seconds: float = Field(
        default=2.0, ge=0, le=300, description="how long a key that was looked up is believed; a change is seen after it"
    )
    redis_seconds: float = Field(default=0.25, gt=0, le=10, description="how long one call to Redis may take")
    local_share: float = Field(default=0.1, gt=0, le=1, description="part of each limit that this process may give out while Redis is away")
    prices: dict[str, Price] = Field(
        default_factory=dict, description='per model, US dollars for a million tokens: {"m": {"input": 1, "output": 2}}'
    )

    budget_seconds: float = Field(
        default=15.0, ge=0, le=3600, description="how often the used share of every budget is told as a metric; 0: never"
    )

    deadline_seconds: float = Field(default=120.0, gt=0, le=3600, description="a request's time from the door to its last byte")
    connect_seconds: float = Field(default=1.0, gt=0, le=60)
    idle_seconds: float = Field(default=60.0, gt=0, le=600, description="the longest silence of a running upstream")
    safety_seconds: float = Field(default=2.0, gt=0, le=60)
    search_seconds: float = Field(default=5.0, gt=0, le=60)
    rerank_seconds: float = Field(default=5.0, gt=0, le=60)
    hedge_seconds: float = Field(
        default=0.0,
        ge=0,
        le=60,
        description="a search or rerank that is late by this is asked a second time; 0: never. About their 95th percentile",
    )
    tick_seconds: float = Field(
        default=0.005,
        ge=0,
        le=0.1,
        description="while many streams run, what comes of them after the first token is relayed once in this time, together; 0: each frame as it comes",
    )
    keepalive_seconds: float = Field(default=10.0, gt=0, le=60, description="silence before the first frame after which a comment is sent")
    catalog_seconds: float = Field(default=5.0, gt=0, le=600, description="how long the list of models is believed")
    connections: int = Field(default=1024, ge=1, le=65536, description="open connections to all parts together")

    breaker_failures: int = Field(default=5, ge=1, le=1000, description="failures in a row after which a part is not asked for a while")
    breaker_seconds: float = Field(default=5.0, gt=0, le=600, description="that while; then one request probes")

    pools: tuple[PoolSpec, ...] = Field(
        default=(),
        max_length=64,
        description="pools of generators as JSON, each with name, urls, device_class, cost, tier; none: the generator alone",
    )
    watchdog_seconds: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="a pool that nobody asked for so long is asked for one token, to prove that it can be; 0: never",
    )
    queue_tokens: int = Field(default=200_000, ge=0, le=1 << 31, description="estimated tokens that may wait for their turn at one pool")
    fallbacks: dict[str, tuple[Literal["higher-tier", "extract"], ...]] = Field(
        default_factory=dict,
        description='by model, or "*": what stands in for a pool that failed, in this order of trying: higher-tier, extract; [] lets the error through',
    )

    idempotency_seconds: float = Field(
        default=600.0, gt=0, le=86_400, description="how long an answer under an Idempotency-Key is given again"
    )
    state_file: Path | None = Field(
        default=None, description="batches, responses and answers under an Idempotency-Key are kept in this SQLite file instead of in Redis"
    )
    batch_concurrency: int = Field(default=2, ge=1, le=1024, description="lines of batches that this process asks at once")
    batch_lines: int = Field(default=10_000, ge=1, le=1_000_000, description="requests in one batch")
    batch_bytes: int = Field(default=16 << 20, ge=1024, le=32 << 20, description="bytes of one batch's input file")
    batch_lease_seconds: float = Field(
        default=15.0, gt=0, le=3600, description="after it, another takes over the batches of a process that died"
    )
    batch_patience_seconds: float = Field(
        default=5.0,
        ge=0,
        le=3600,
        description="how long a line of a batch steps aside for callers who wait; then it goes ahead all the same",
    )
    response_seconds: int = Field(default=86_400, ge=60, le=366 * 86_400, description="how long a stored response is remembered")

    min_evidence: float = Field(default=0.3, ge=0, le=1, description="evidence under which an answer is a typed abstention")
    strong_evidence: float = Field(
        default=0.6, ge=0, le=1, description="evidence from which on a reader that finds no answer is replaced by quotes"
    )
    least_support: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of the best sentence's overlap with the question under which a reader's quote is not believed",
    )
    candidates: int = Field(default=20, ge=1, le=100, description="passages fetched for the reranker to choose from")
    reader_tokens: int = Field(default=96, ge=1, le=4096, description="a reader's answer is held until checked, so it is bounded by this")
    safety_fail_open: bool = Field(default=False, description="serve unchecked when the safety filter is away, instead of refusing")
    output_window_tokens: int = Field(default=16, ge=1, le=512, description="frames of output that one moderation check covers")
    output_window_seconds: float = Field(
        default=0.1, ge=0, le=10, description="a frame that has waited this long is checked at once, however few came after it"
    )
    output_overlap_chars: int = Field(
        default=96, ge=0, le=4096, description="text kept back so that a pattern cut by a window is seen whole"
    )

    @field_validator("generator_url", "retriever_url", "reranker_url", "safety_url", "redis_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if not value:
            return None
        if not value.startswith(("http://", "https://", "redis://", "rediss://", "unix://")):
            raise ValueError("is no address: it begins with http:// or, for Redis, redis:// or unix://")
        return value.rstrip("/")

    @field_validator("bootstrap_key", "admin_token")
    @classmethod
    def _secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if len(value.get_secret_value()) < 16:
            raise ValueError("needs at least 16 characters")
        return value
