"""The model's chat template, rendered in a sandbox, and cut into plain text and special tokens.

User text can spell a special token but never be one: before rendering, each such spelling in a message is broken by a noncharacter that occurs nowhere else;
after rendering, only unbroken spellings (the template's own) become special, and the breaks are taken out again.
It refuses to know tokenizers beyond the spellings of their special tokens, and takes no template from a request.
"""

import datetime
import json
import re
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from slipway_shared import errors

from slipway_generator.model import StartRefused
from slipway_generator.tokenizer import Piece

MAX_TEMPLATE_CHARS = 1 << 16
_NONCHARACTERS = tuple(chr(code) for code in range(0xFDD0, 0xFDF0))

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For models without a template of their own whose vocabulary has these tokens (the ChatML convention)."""

PLAIN = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


class TemplateRefused(Exception):
    """Raised by a template on purpose (`raise_exception`)."""


class ChatTemplate:
    """A compiled template and the special spellings of its vocabulary."""

    def __init__(self, source: str, specials: Sequence[str], *, bos: str = "", eos: str = "") -> None:
        if len(source) > MAX_TEMPLATE_CHARS:
            raise StartRefused(f"the model's chat template is longer than {MAX_TEMPLATE_CHARS} characters.")
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        environment.filters["tojson"] = _tojson
        given: dict[str, Any] = {"raise_exception": _refuse, "strftime_now": _now}
        try:
            self._template = environment.from_string(source, globals=given)
        except TemplateError as error:
            raise StartRefused(f"the model's chat template does not compile: {error}.") from error
        self._names_tools = "tools" in source
        self._specials = _Spellings(specials)
        self._marks = {"bos_token": bos, "eos_token": eos}

    @property
    def knows_tools(self) -> bool:
        """Whether the template itself shows tools to the model."""
        return self._names_tools

    def render(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None = None) -> list[Piece]:
        """The prompt of a conversation, open for the assistant's turn; BadRequest when the template refuses the conversation."""
        mark = self._specials.unused_mark([messages, tools])
        guarded = self._specials.guard([list(messages), tools], mark)
        try:
            text = self._template.render(messages=guarded[0], tools=guarded[1], add_generation_prompt=True, **self._marks)
        except TemplateRefused as refused:
            raise errors.BadRequest(f"The model's chat template refuses these messages: {refused}.", param="messages") from None
        except (TemplateError, SecurityError, TypeError, ValueError, KeyError, OverflowError, RecursionError) as error:
            raise errors.BadRequest("The model's chat template cannot show these messages.", param="messages") from error
        return self._specials.cut(text, mark)


class _Spellings:
    """The special tokens' spellings: finding, breaking and cutting at them."""

    def __init__(self, specials: Sequence[str]) -> None:
        self._all = sorted((s for s in set(specials) if s), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._all))) if self._all else None
        self._heads = {s[:n] for s in self._all for n in range(1, len(s))}
        self._tails = {s[n:] for s in self._all for n in range(1, len(s))}
        self._longest = max(map(len, self._all), default=0)

    def unused_mark(self, value: Any) -> str:
        """A noncharacter that no string in `value` holds."""
        text = json.dumps(value, ensure_ascii=False)
        for mark in _NONCHARACTERS:
            if mark not in text:
                return mark
        raise errors.BadRequest("The messages hold every noncharacter of Unicode's Arabic block.", param="messages")

    def guard(self, value: Any, mark: str) -> Any:
        """`value` with every special spelling in its strings broken by `mark`, half ones at their ends included."""
        if isinstance(value, str):
            return self._break(value, mark)
        if isinstance(value, dict):
            return {key: self.guard(item, mark) for key, item in value.items()}
        return [self.guard(item, mark) for item in value] if isinstance(value, list) else value

    def cut(self, text: str, mark: str) -> list[Piece]:
        """`text` at its unbroken spellings; the marks are gone afterwards."""
        if self._pattern is None:
            return [Piece(text.replace(mark, ""))]
        pieces: list[Piece] = []
        start = 0
        for match in self._pattern.finditer(text):
            pieces += [Piece(text[start : match.start()].replace(mark, "")), Piece(match.group(), special=True)]
            start = match.end()
        pieces.append(Piece(text[start:].replace(mark, "")))
        return [piece for piece in pieces if piece.text]

    def _break(self, text: str, mark: str) -> str:
        if self._pattern is None:
            return text
        while self._pattern.search(text):
            # One pass can leave a shorter spelling whole (a special inside a special), hence the loop; each pass breaks at least one.
            text = self._pattern.sub(lambda m: m.group()[0] + mark + m.group()[1:] if len(m.group()) > 1 else mark, text)
        if any(text.endswith(text[-n:]) and text[-n:] in self._heads for n in range(1, min(self._longest, len(text) + 1))):
            text += mark
        if any(text[:n] in self._tails for n in range(1, min(self._longest, len(text) + 1))):
            text = mark + text
        return text


def _tojson(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> str:
    raise TemplateRefused(str(message)[:200])


def _now(pattern: str) -> str:
    return datetime.datetime.now(tz=datetime.UTC).strftime(pattern)
