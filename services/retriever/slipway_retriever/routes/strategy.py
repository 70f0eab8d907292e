"""OpenAI's chunking strategies, and how ours answers them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from slipway_shared.dialect.chat import Wire

from slipway_retriever.settings import RetrieverSettings
from slipway_retriever.store.entries import Chunking


class StaticSizes(Wire):
    """Sizes in estimated tokens; an overlap is at most half a passage."""

    max_chunk_size_tokens: Annotated[int, Field(ge=32, le=4096)]
    chunk_overlap_tokens: Annotated[int, Field(ge=0, le=2048)]

    @model_validator(mode="after")
    def _overlap_fits(self) -> "StaticSizes":
        if 2 * self.chunk_overlap_tokens > self.max_chunk_size_tokens:
            raise ValueError("chunk_overlap_tokens is at most half of max_chunk_size_tokens")
        return self


class Strategy(Wire):
    """`auto` takes the service's own sizes."""

    type: Literal["auto", "static"]
    static: StaticSizes | None = None

    @model_validator(mode="after")
    def _sizes_given(self) -> "Strategy":
        if (self.type == "static") != (self.static is not None):
            raise ValueError("static belongs to type static, and only to it")
        return self


def chunking(strategy: Strategy | None, settings: RetrieverSettings) -> Chunking:
    """The sizes that a caller asked for, else the settings'."""
    if strategy is not None and strategy.static is not None:
        return Chunking(strategy.static.max_chunk_size_tokens, strategy.static.chunk_overlap_tokens)
    return Chunking(settings.chunk_tokens, min(settings.overlap_tokens, settings.chunk_tokens // 2))
