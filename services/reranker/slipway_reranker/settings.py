"""What the reranker can be told. It refuses to hold a threshold: abstaining is the gateway's decision, evidence is ours."""

from pydantic import Field
from slipway_shared.encoding.choice import EngineName
from slipway_shared.settings import ServiceSettings, service_config


class RerankerSettings(ServiceSettings):
    """Environment prefix SLIPWAY_RERANKER_."""

    model_config = service_config("SLIPWAY_RERANKER_")

    port: int = Field(default=8104, ge=0, le=65535)
    scorer: str = Field(default="overlap", description="overlap, or the folder of an ONNX cross-encoder")
    engine: EngineName = Field(
        default="auto",
        description="onnxruntime (int8) or openvino (bf16); auto takes openvino where the processor has AMX, and says so at the start",
    )
    threads: int = Field(default=1, ge=1, le=64, description="threads of one scoring run")
    warm_seconds: float = Field(
        default=5.0,
        ge=0,
        le=600,
        description="how long the start may take to compute passes of the usual shapes, which OpenVINO compiles when it first meets them",
    )
    batch_tokens: int = Field(default=4096, ge=256, le=1 << 20, description="padded tokens that a cross-encoder scores at once")
    max_pair_tokens: int | None = Field(
        default=None,
        ge=32,
        le=8192,
        description="a longer query-passage pair is cut, and the answer says so; default: what the model's folder says, else 192",
    )
    max_waiting: int = Field(default=64, ge=1, le=4096, description="rerank calls that may wait; more are refused with 503")
