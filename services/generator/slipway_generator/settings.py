"""What the generator can be told. It refuses to hold values that a model's manifest holds."""

from typing import Literal

from pydantic import Field
from slipway_shared.settings import ServiceSettings, service_config

EngineChoice = Literal["echo", "llamacpp", "onnx", "pointer", "vllm"]


class Settings(ServiceSettings):
    """`SLIPWAY_GENERATOR_*`. None means: chosen for this machine or this model, and the reason logged."""

    model_config = service_config("SLIPWAY_GENERATOR_")

    port: int = Field(default=8102, ge=0, le=65535)
    model: str = Field(default="echo", description="folder of a flavor (it holds manifest.json), or `echo`")
    engine: EngineChoice | None = Field(default=None, description="overrides the engine that the manifest names")
    served_name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$", description="a further name to answer to")
    threads: int | None = Field(default=None, ge=1, le=256)
    max_sequences: int = Field(default=8, ge=1, le=128, description="sequences in the batch at once")
    max_waiting: int = Field(default=64, ge=0, le=100_000, description="requests that may wait for admission before new ones get 429")
    context_tokens: int | None = Field(
        default=None, ge=16, le=1 << 20, description="prompt and answer of one sequence; None: the manifest's"
    )
    kv_tokens: int | None = Field(
        default=None, ge=16, le=1 << 24, description="cells of the KV cache; None: max_sequences x context_tokens"
    )
    kv_type: Literal["f16", "f32", "q8_0"] = Field(default="f16", description="llama.cpp: number format of the KV cache")
    batch_tokens: int = Field(default=512, ge=16, le=8192, description="rows of one decode call")
    prefill_chunk: int = Field(default=128, ge=1, le=8192, description="prompt rows of one decode call while other sequences stream")
    prefix_entries: int = Field(default=64, ge=0, le=4096, description="finished sequences kept for their prefix; 0 turns the cache off")
    prefix_mb: int = Field(default=256, ge=1, le=1 << 20, description="memory that kept prefixes may take")
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="for requests without one; None: 0 for readers, 0.7 for chat models"
    )
    max_tokens: int = Field(default=512, ge=1, le=1 << 17, description="for requests without a limit")
    keepalive_seconds: float = Field(default=10.0, gt=0, le=300, description="a stream that is silent this long carries a comment")
    request_seconds: float = Field(default=600.0, gt=0, le=86_400, description="deadline of a request that brings none")
    speculate: bool = Field(default=True, description="llama.cpp: draft tokens and verify several in a step, where it pays")
    prompt_lookup: bool = Field(
        default=True, description="llama.cpp: draft by prompt lookup first; false leaves it to the draft model alone"
    )
    even: bool = Field(
        default=True, description="streams: words that one step yields together are spread over the time until the next step's"
    )
    draft_model: str | None = Field(
        default=None,
        description="llama.cpp: folder of a smaller flavor with the same vocabulary, which drafts where prompt lookup finds nothing",
    )
    draft_tokens: int = Field(default=8, ge=1, le=16, description="longest draft")
    onnx_batch: int | None = Field(
        default=None,
        ge=1,
        le=8,
        description="ONNX: sequences decoded in one batch; 1: each alone, in turns; None: as measured at the start",
    )
    adapters_dir: str | None = Field(default=None, description="folder below which LoRA adapters lie; None: none can be loaded")
    max_adapters: int = Field(default=8, ge=0, le=64, description="LoRA adapters that may be loaded at once; 0 refuses all")
    max_adapter_rank: int = Field(default=64, ge=1, le=512, description="vLLM: the largest rank of an adapter")
    vllm_url: str | None = Field(
        default=None, pattern=r"^https?://", description="a running vLLM server to attach to; None: one is started here"
    )
    vllm_python: str | None = Field(default=None, description="the Python of the environment that has vLLM; None: this one")
    vllm_args: str = Field(default="", max_length=4096, description="further words for vLLM's command line")
    vllm_speculative: str = Field(default="", max_length=1024, description="vLLM's --speculative-config, as JSON; empty: none")
    vllm_start_seconds: float = Field(
        default=900.0, gt=0, le=7200, description="vLLM must have generated a token within this time of its start"
    )
    vllm_idle_seconds: float = Field(default=120.0, gt=0, le=3600, description="a vLLM stream that is silent this long has failed")
    echo_first_seconds: float = Field(default=0.0, ge=0, le=60, description="echo: wait before the first token")
    echo_gap_seconds: float = Field(default=0.0, ge=0, le=60, description="echo: wait before each further token")
