"""Constraints as token masks, by llguidance (extra `llamacpp` or `onnx`): compiled once a text, copied for each sequence.

Measured on a 32k vocabulary: about 2 ms to compile a schema, 50 us a mask; llama.cpp's own grammar sampler needs 7 ms a token.
Everything that a schema may cost is bounded by llguidance's fuel and by ours. It refuses to know requests and engines.
"""

import importlib
import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from slipway_shared import errors

from slipway_generator.engine import Constraint

KEPT = 64
KEPT_OF_A_TENANT = 16
"""Compiled grammars kept, least recently used out first; unique schemas therefore cannot fill the memory, nor push out other tenants' grammars.
Each tenant has its own: how fast a schema is answered tells nobody whether somebody else uses it."""
FUEL = 400_000
"""For the analysis of a grammar's patterns before the first token: about 8 ms by llguidance's figure; its default is 1,000,000."""


class Grammars:
    """The compiler for one vocabulary. Safe to call from several threads."""

    def __init__(self, pieces: list[bytes], control: Iterable[int], ends: Iterable[int], encode: Callable[[str], list[int]]) -> None:
        self._source = _Source(pieces, list(control), sorted(ends), encode)
        self._lock = threading.Lock()
        self._tokenizer: Any = None
        self._compiled: OrderedDict[tuple[str, Constraint], Any] = OrderedDict()

    def prepare(self) -> None:
        """Build the tokenizer's trie now (0.3 s for 32k tokens), so that the first constrained request does not wait for it."""
        with self._lock:
            if importlib.util.find_spec("llguidance") is not None:
                self._tokenizer = self._source.tokenizer(_library())

    def compile(self, constraint: Constraint, tenant: str) -> "GrammarMask":
        """A fresh mask for `constraint`; BadRequest with llguidance's reason when it is no language that can be kept to."""
        key = (tenant, constraint)
        with self._lock:
            library = _library()
            if self._tokenizer is None:
                self._tokenizer = self._source.tokenizer(library)
            matcher = self._compiled.get(key)
            if matcher is not None:
                self._compiled.move_to_end(key)
        if matcher is None:
            # Not under the lock: a grammar that takes long delays nobody but who sent it. llguidance gives up the GIL meanwhile.
            matcher = _compile(library, self._tokenizer, constraint, self._source.size)
            self._keep(key, matcher)
        with self._lock:
            return GrammarMask(matcher.deep_copy(), self._source.size)

    def kept(self, tenant: str) -> int:
        """How many compiled grammars are kept for `tenant`."""
        with self._lock:
            return sum(owner == tenant for owner, _ in self._compiled)

    def _keep(self, key: tuple[str, Constraint], matcher: Any) -> None:
        with self._lock:
            self._compiled[key] = matcher
            own = [one for one in self._compiled if one[0] == key[0]]
            for one in own[: max(0, len(own) - KEPT_OF_A_TENANT)]:
                del self._compiled[one]
            while len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)


class GrammarMask:
    """Mask protocol over one llguidance matcher."""

    def __init__(self, matcher: Any, size: int) -> None:
        self._matcher = matcher
        self._size = size
        self._bits: NDArray[np.int32] = np.zeros((size + 31) // 32, dtype=np.int32)

    def allowed(self) -> NDArray[np.bool_]:
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        self._check()
        return np.unpackbits(self._bits.view(np.uint8), bitorder="little", count=self._size).view(np.bool_)

    def accept(self, token: int) -> None:
        self._matcher.consume_token(token)
        self._check()

    def forced(self) -> list[int]:
        tokens = list(self._matcher.compute_ff_tokens())
        self._check()
        return tokens

    def complete(self) -> bool:
        return not self._matcher.is_error() and bool(self._matcher.is_accepting())

    def closed(self) -> bool:
        return self.complete() and bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise errors.UpstreamFailed("The answer could not be kept to the required format.", code="constraint_failed")


class _Source:
    """What llguidance wants to know of a tokenizer; it names these attributes itself."""

    def __init__(self, pieces: list[bytes], control: list[int], ends: list[int], encode: Callable[[str], list[int]]) -> None:
        self.size = len(pieces)
        special = set(control) | set(ends)
        # A leading 0xFF marks a token that no text may contain; an empty piece would otherwise match anywhere.
        self.tokens = [b"\xff<%d>" % at if at in special or not piece else piece for at, piece in enumerate(pieces)]
        self.special_token_ids = sorted(special)
        self.eos_token_id = ends[0] if ends else 0
        self.bos_token_id = None
        self._ends = ends
        self._encode = encode

    def __call__(self, text: str | bytes) -> list[int]:
        return self._encode(text.decode(errors="replace") if isinstance(text, bytes) else text)

    def tokenizer(self, library: Any) -> Any:
        return library.LLTokenizer(library.TokenizerWrapper(self), n_vocab=self.size, eos_token=self._ends or None)


def _compile(library: Any, tokenizer: Any, constraint: Constraint, size: int) -> Any:
    match constraint.kind:
        case "json_schema":
            # Free whitespace lets weak models emit it for ever (measured: 0 of 40 answers ended; 40 of 40 without).
            grammar = library.LLMatcher.grammar_from_json_schema(constraint.text, overrides={"whitespace_flexible": False})
        case "regex":
            grammar = library.LLMatcher.grammar_from_regex(constraint.text)
        case "lark":
            grammar = library.LLMatcher.grammar_from_lark(constraint.text)
    matcher = library.LLMatcher(tokenizer, grammar, log_level=0, limits=library.LLParserLimits(initial_lexer_fuel=FUEL))
    if not matcher.is_error():
        # A language without a first token, such as a reference to itself, shows only now.
        bits: NDArray[np.int32] = np.zeros((size + 31) // 32, dtype=np.int32)
        matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
    if matcher.is_error():
        reason = _reason(str(matcher.get_error()))
        raise errors.BadRequest(f"The required format cannot be enforced: {reason}.", param="response_format", code="unsupported_schema")
    return matcher


def _reason(said: str) -> str:
    """llguidance's reason in one sentence."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["no reason was given"]
    if lines[0].startswith("NoExtensionBias"):
        return "no document satisfies it (a definition refers to itself without an end, or its parts exclude each other)"
    if lines[0].startswith("oneOf"):
        return "branches of a oneOf could hold together; write anyOf, or give each branch a constant of its own"
    # Of a regular expression's error the first line is a heading, and the last says what is wrong.
    return (lines[-1].removeprefix("error: ") if lines[0].endswith(":") else lines[0])[:200].rstrip(".")


def _library() -> Any:
    try:
        return importlib.import_module("llguidance")
    except ImportError as error:
        raise errors.BadRequest(
            "This generator cannot constrain answers: llguidance is not installed (slipway-generator[llamacpp] or [onnx]).",
            code="unsupported_parameter",
        ) from error
