"""OpenAI's moderation request as we read it: text, several texts, or text parts; images are refused by name.

It refuses to know what is found in them.
"""

from typing import Annotated, Literal

from pydantic import Field

from slipway_shared.dialect.chat import Wire

MAX_INPUTS = 64
Text = Annotated[str, Field(max_length=1 << 20)]


class TextInput(Wire):
    type: Literal["text"]
    text: Text


class ModerationRequest(Wire):
    """`POST /v1/moderations`: one text, up to 64 of them, or as many text parts, which are one input."""

    input: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS)]
        | Annotated[list[TextInput], Field(min_length=1, max_length=MAX_INPUTS)]
    )
    model: Annotated[str, Field(max_length=128)] | None = None

    def texts(self) -> list[str]:
        """One text per result that the caller expects: several text parts are one input."""
        if isinstance(self.input, str):
            return [self.input]
        if isinstance(self.input[0], TextInput):
            return ["\n".join(part.text for part in self.input if isinstance(part, TextInput))]
        return [text for text in self.input if isinstance(text, str)]
