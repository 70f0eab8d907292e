"""Embeddings, in OpenAI's shape. It refuses to know the model."""

from typing import Annotated, Literal

from pydantic import Field

from slipway_shared.dialect.chat import Wire

Text = Annotated[str, Field(min_length=1, max_length=1 << 17)]


class EmbeddingsRequest(Wire):
    """`POST /v1/embeddings`: up to 256 texts."""

    model: Annotated[str, Field(min_length=1, max_length=128)]
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=256)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=8, le=4096)] | None = None
    user: str | None = None

    @property
    def texts(self) -> list[str]:
        """The input as a list."""
        return [self.input] if isinstance(self.input, str) else list(self.input)
