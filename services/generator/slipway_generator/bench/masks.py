"""What a constraint costs a token: `python -m slipway_generator.bench.masks --model FOLDER`, over the vocabulary of a GGUF.

Random walks over three schemas, by this generator's masks, by llama.cpp's grammar sampler and by Outlines, in turns. Times are processor time of the walking
thread: the mask, and telling the constraint which token came. Every document is checked with jsonschema-rs. No model runs; it refuses to say how fast answers are.
"""

import argparse
import ctypes
import importlib
import importlib.util
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import jsonschema_rs
import numpy as np
from numpy.typing import NDArray

from slipway_generator.bench.report import quantile
from slipway_generator.engine import Constraint
from slipway_generator.engines.grammar import GrammarMask, Grammars
from slipway_generator.engines.llamacpp.library import load_library
from slipway_generator.engines.llamacpp.weights import GgufTokenizer, Weights

LONGEST = 400
SCHEMAS: dict[str, dict[str, Any]] = {
    "person": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 24},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "mail": {"type": "string", "pattern": "^[a-z]{2,8}@[a-z]{2,8}[.]com$"},
        },
        "required": ["name", "age", "mail"],
        "additionalProperties": False,
    },
    "list": {"type": "array", "items": {"enum": ["red", "green", "blue", "a longer word"]}, "minItems": 1, "maxItems": 6},
    "nested": {
        "type": "object",
        "properties": {
            "title": {"type": "string", "maxLength": 40},
            "ok": {"type": "boolean"},
            "at": {
                "type": "object",
                "properties": {"x": {"type": "integer", "minimum": -9, "maximum": 99}, "kind": {"const": "point"}},
                "required": ["x", "kind"],
                "additionalProperties": False,
            },
        },
        "required": ["title", "ok", "at"],
        "additionalProperties": False,
    },
}


class Walk(Protocol):
    """One constrained sequence."""

    def allowed(self) -> NDArray[np.bool_]: ...
    def accept(self, token: int) -> None: ...
    def forced(self) -> list[int]: ...


class _Sampler:
    """llama.cpp's grammar sampler, fed with the whole vocabulary."""

    def __init__(self, weights: Weights, grammar: bytes) -> None:
        self._api, self._size = weights.api, weights.size
        self._chain = self._api.llama_sampler_init_grammar(weights.vocabulary, grammar, b"root")
        self._data = (self._api.llama_token_data * self._size)()
        row = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        self._rows = np.frombuffer(self._data, dtype=row)

    def allowed(self) -> NDArray[np.bool_]:
        self._rows["id"], self._rows["logit"] = np.arange(self._size), 0.0
        array = self._api.llama_token_data_array(self._data, self._size, -1, False)
        self._api.llama_sampler_apply(self._chain, ctypes.byref(array))
        return np.isfinite(self._rows["logit"])

    def accept(self, token: int) -> None:
        self._api.llama_sampler_accept(self._chain, token)

    def forced(self) -> list[int]:
        return []

    def __del__(self) -> None:
        self._api.llama_sampler_free(self._chain)


class _Outlines:
    """Outlines' own automaton (outlines-core), which needs no model."""

    def __init__(self, index: Any, core: Any, size: int) -> None:
        self._guide = core.Guide(index)
        self._size = size
        self._bits: NDArray[np.int32] = np.zeros((size + 31) // 32, dtype=np.int32)

    def allowed(self) -> NDArray[np.bool_]:
        self._guide.write_mask_into(self._bits.ctypes.data, self._bits.size, self._bits.itemsize)
        return np.unpackbits(self._bits.view(np.uint8), bitorder="little", count=self._size).view(np.bool_)

    def accept(self, token: int) -> None:
        self._guide.advance(token, False)

    def forced(self) -> list[int]:
        return []


Begin = Callable[[], Walk]


def main() -> int:
    """Print the table and, with --json, write the figures."""
    parser = argparse.ArgumentParser(prog="slipway_generator.bench.masks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--model", type=Path, default=Path("models/slipway-reader-llama/int8"), help="folder with a GGUF; its vocabulary is used"
    )
    parser.add_argument("--documents", type=int, default=1000, help="documents of this generator")
    parser.add_argument("--peer-documents", type=int, default=30, help="documents of each peer")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    asked = parser.parse_args()
    weights = Weights(load_library({}), next(asked.model.glob("*.gguf")))
    tokenizer, ends = GgufTokenizer(weights), weights.ends()
    peers = _peers(weights, tokenizer, ends)
    samples: dict[str, list[float]] = {name: [] for name in peers}
    valid: dict[str, int] = dict.fromkeys(peers, 0)
    done: dict[str, int] = dict.fromkeys(peers, 0)
    setup: dict[str, list[float]] = {name: [] for name in peers}
    for at in range(asked.documents):
        name = list(SCHEMAS)[at % len(SCHEMAS)]
        for peer, prepare in peers.items():
            if peer != "ours" and at >= asked.peer_documents:
                continue
            started = time.thread_time()
            begin = prepare(SCHEMAS[name])
            setup[peer].append(time.thread_time() - started)
            rng = random.Random(at)  # noqa: S311 (walks that repeat)
            text = _walk(begin(), tokenizer.pieces, ends, rng, samples[peer])
            done[peer] += 1
            valid[peer] += _conforms(text, SCHEMAS[name])
    figures = {
        peer: {
            "mean_ms": statistics.mean(times) * 1e3, "median_ms": quantile(times, 0.5) * 1e3, "p99_ms": quantile(times, 0.99) * 1e3,
            "max_ms": max(times) * 1e3, "tokens": len(times), "documents": done[peer], "valid": valid[peer],
            "setup_ms": statistics.median(setup[peer]) * 1e3, "first_setup_ms": setup[peer][0] * 1e3,
        }
        for peer, times in samples.items()
    }  # fmt: skip
    _print(figures, weights.size)
    if asked.json:
        asked.json.write_text(json.dumps({"vocabulary": weights.size, "per_token": figures}, indent=2) + "\n", encoding="utf-8")
    return int(figures["ours"]["valid"] != asked.documents)


def _peers(weights: Weights, tokenizer: GgufTokenizer, ends: frozenset[int]) -> dict[str, Callable[[dict[str, Any]], Begin]]:
    grammars = Grammars(tokenizer.pieces, tokenizer.control, ends, tokenizer.encode)
    grammars.prepare()
    converter = importlib.import_module("llama_cpp.llama_grammar")

    def ours(schema: dict[str, Any]) -> Begin:
        constraint = Constraint("json_schema", json.dumps(schema))
        mask: GrammarMask = grammars.compile(constraint, "bench")
        return lambda: mask

    def gbnf(schema: dict[str, Any]) -> Begin:
        grammar = str(converter.json_schema_to_gbnf(json.dumps(schema))).encode()
        return lambda: _Sampler(weights, grammar)

    out: dict[str, Callable[[dict[str, Any]], Begin]] = {"ours": ours, "llama.cpp GBNF": gbnf}
    if importlib.util.find_spec("outlines_core") is not None:
        core = importlib.import_module("outlines_core")
        rules = importlib.import_module("outlines_core.json_schema")
        known: dict[bytes, list[int]] = {}
        for at, piece in enumerate(tokenizer.pieces):
            if piece and at not in ends:
                known.setdefault(piece, []).append(at)
        vocabulary = core.Vocabulary(min(ends), known)
        indices: dict[str, Any] = {}

        def outlines(schema: dict[str, Any]) -> Begin:
            text = json.dumps(schema)
            if text not in indices:
                indices[text] = core.Index(rules.build_regex_from_schema(text, whitespace_pattern=""), vocabulary)
            return lambda: _Outlines(indices[text], core, weights.size)

        out["Outlines"] = outlines
    return out


def _walk(walk: Walk, pieces: list[bytes], ends: frozenset[int], rng: random.Random, times: list[float]) -> bytes:
    """A document of random tokens. A quote is likelier than chance, else strings would be as long as they may be."""
    said = b""
    for _ in range(LONGEST):
        started = time.thread_time()
        allowed = walk.allowed()
        spent = time.thread_time() - started
        options = np.flatnonzero(allowed)
        closing = [end for end in ends if allowed[end]]
        quotes = [one for one in options[:512] if pieces[one] == b'"']
        if closing and (rng.random() < 0.5 or len(options) == len(closing)):
            times.append(spent)
            break
        token = int(quotes[0] if quotes and rng.random() < 0.2 else rng.choice([one for one in options if one not in ends]))
        started = time.thread_time()
        walk.accept(token)
        forced = walk.forced()
        for one in forced:
            walk.accept(one)
        spent += time.thread_time() - started
        said += pieces[token] + b"".join(pieces[one] for one in forced)
        times += [spent / (1 + len(forced))] * (1 + len(forced))
    return said


def _conforms(text: bytes, schema: dict[str, Any]) -> bool:
    try:
        jsonschema_rs.validate(schema, json.loads(text))
    except (ValueError, jsonschema_rs.ValidationError):
        return False
    return True


def _print(figures: dict[str, dict[str, float]], size: int) -> None:
    line = "{:<16} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10} {:>12}\n"
    sys.stdout.write(f"vocabulary {size}; milliseconds of processor time a token\n")
    sys.stdout.write(line.format("", "mean", "median", "p99", "max", "set-up 1st", "set-up", "valid"))
    for peer, row in figures.items():
        shown = [f"{row[name]:.3f}" for name in ("mean_ms", "median_ms", "p99_ms", "max_ms", "first_setup_ms", "setup_ms")]
        sys.stdout.write(line.format(peer, *shown, f"{row['valid']:.0f}/{row['documents']:.0f}"))


if __name__ == "__main__":
    sys.exit(main())
