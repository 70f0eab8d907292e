"""What the retriever can be told. One data folder per process: a lock in it refuses a second one."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from slipway_shared.encoding.choice import EngineName
from slipway_shared.settings import ServiceSettings, service_config

EmbedderName = Literal["minilm", "bge-small", "folder", "hash"]


class RetrieverSettings(ServiceSettings):
    """Environment prefix SLIPWAY_RETRIEVER_."""

    model_config = service_config("SLIPWAY_RETRIEVER_")

    port: int = Field(default=8103, ge=0, le=65535)
    data_dir: Path = Field(default=Path(".slipway/retriever"), description="files, text and vectors of every tenant")
    cache_dir: Path | None = Field(default=None, description="converted embedding graphs (default: data_dir/cache)")
    embedder: EmbedderName = Field(default="minilm", description="hash needs no weights and knows no meaning: for tests")
    embedder_dir: Path | None = Field(default=None, description="folder of a sentence-transformers BERT, for bge-small and folder")
    backend: Literal["onnx", "sentence-transformers"] = Field(
        default="onnx", description="sentence-transformers takes any of its models, slower, and needs the extra torch"
    )
    query_prefix: str | None = Field(default=None, description="stands before queries (default: what the model's folder names, or nothing)")
    precision: Literal["int8", "fp32"] = Field(default="int8", description="of the stored weights")
    engine: EngineName = Field(
        default="auto",
        description="onnxruntime (int8) or openvino (bf16); auto takes openvino for int8 weights where the processor has AMX, and says so at the start",
    )
    threads: int = Field(default=1, ge=1, le=64, description="threads of one embedding run")
    batch_tokens: int = Field(default=1024, ge=64, le=1 << 16, description="padded tokens embedded at once; bounds what a query waits")
    max_file_bytes: int = Field(default=32 << 20, ge=1)
    max_text_chars: int = Field(default=16 << 20, ge=1024, description="extracted text of one file")
    max_pages: int = Field(default=5000, ge=1, description="pages of one PDF")
    parse_seconds: float = Field(default=60.0, gt=0, le=3600, description="a file whose parser takes longer fails")
    parse_memory_bytes: int = Field(default=1 << 30, ge=1 << 26, description="address space of the parser process")
    chunk_tokens: int = Field(default=160, ge=32, le=4096, description="longest passage; about 120 words")
    overlap_tokens: int = Field(default=24, ge=0, le=1024, description="repeated where a paragraph has to be cut")
    max_files: int = Field(default=100_000, ge=1, description="per tenant")
    max_stores: int = Field(default=1000, ge=1, description="per tenant")
    exact_below: int = Field(default=20_000, ge=0, description="passages of a store up to which search is exact")
    diversity: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="how much search prefers passages unlike those above them (maximal marginal relevance); a request may say otherwise",
    )
    qdrant: str | None = Field(
        default=None, description="address of a Qdrant that keeps the vectors instead of this process; a folder means its local mode"
    )
    qdrant_api_key: SecretStr | None = Field(default=None, description="key of that Qdrant")
    lock_seconds: float = Field(default=30.0, ge=0, description="how long to wait for another process to release data_dir")
