"""A GGUF to measure speed with: `python -m slipway_generator.bench.fixture FOLDER [--copies]`.

A Llama of about 100 million parameters (768 wide, 12 layers, 12 heads, 4 of keys and values, vocabulary 32,000, q8_0), as large as the models that Slipway
is for. Nothing in it was trained: it is right for speed and for comparing engines, and says nothing about quality.

With `--copies` the first two layers hold a copying circuit that is written down by hand (previous-token and induction heads, Olsson et al. 2022,
arXiv 2209.11895): the model then goes on with what followed the last two tokens before, as a grounded answer that quotes does. The arithmetic per token is
the same. It refuses to know engines.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from slipway_shared import manifest

from slipway_generator.bench.cases import WORDS

Matrix = NDArray[np.float32]
WIDTH, LAYERS, HEADS, KV_HEADS, FEED_FORWARD, VOCABULARY, CONTEXT = 768, 12, 12, 4, 2048, 32_000, 2048
HEAD = WIDTH // HEADS
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CODE = 128
"""Width of a token's code of signs. The residual stream of a copying model: token, its neighbour, the one before that, what comes next, and a constant."""
TOKEN, NEIGHBOUR, SECOND, NEXT = (slice(CODE * at, CODE * (at + 1)) for at in range(4))
CONSTANT, CONSTANT_VALUE = WIDTH - 1, 8.0
FREE = slice(4 * CODE, CONSTANT)
ROPE_BASE, COPY_ROPE_BASE = 1e4, 1e16
"""A large base leaves most rotary pairs all but still over a context, so that a copying head can compare contents at any distance."""
FAST_PAIRS = 8


def main() -> int:
    """Write the folder."""
    parser = argparse.ArgumentParser(prog="slipway_generator.bench.fixture", description=(__doc__ or "").split(": ")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", action="store_true", help="with a copying circuit")
    parser.add_argument("--layers", type=int, default=LAYERS, help=f"{LAYERS} unless a smaller model will do, for a draft")
    asked = parser.parse_args()
    write_fixture(asked.folder, copies=asked.copies, layers=asked.layers)
    sys.stdout.write(f"{asked.folder}: {(asked.folder / 'model.gguf').stat().st_size / 1e6:.1f} MB\n")
    return 0


def write_fixture(folder: Path, *, copies: bool, layers: int = LAYERS) -> None:
    """A verified flavor folder with one GGUF."""
    import gguf

    folder.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(COPY_ROPE_BASE if copies else ROPE_BASE)
    writer.add_vocab_size(VOCABULARY)
    _vocabulary(gguf, writer)
    for name, value in tensors(layers, copies=copies):
        if value.ndim == 1:
            writer.add_tensor(name, value)
        else:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    described = manifest.Manifest(
        model="bench-copies" if copies else "bench", flavor="int8", created=1, context_tokens=CONTEXT, engine="llamacpp", entry="model.gguf",
        files=(manifest.describe_file(folder, "model.gguf"),),
    )  # fmt: skip
    manifest.write_manifest(folder, described)


def tensors(layers: int, *, copies: bool) -> Iterator[tuple[str, Matrix]]:
    """Every tensor under its name in a GGUF, rows by columns, in float32."""
    rng = np.random.default_rng(5)

    def matrix(rows: int, columns: int, scale: float = 1.0) -> Matrix:
        return rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(scale / np.sqrt(columns))

    # A copying model must not be disturbed by its random layers: they are computed and count for nothing.
    output_scale = 1e-3 if copies else 1.0
    yield "token_embd.weight", _codes(rng) if copies else matrix(VOCABULARY, WIDTH, 4.0)
    yield "output_norm.weight", np.ones(WIDTH, np.float32)
    for layer in range(layers):
        attention = {
            "q": matrix(WIDTH, WIDTH), "k": matrix(KV_HEADS * HEAD, WIDTH), "v": matrix(KV_HEADS * HEAD, WIDTH), "output": matrix(WIDTH, WIDTH, output_scale),
        }  # fmt: skip
        if copies and layer < 2:
            for part in attention.values():
                part[:] = 0
            (_look_back if layer == 0 else _look_up)(attention)
        yield f"blk.{layer}.attn_norm.weight", np.ones(WIDTH, np.float32)
        yield f"blk.{layer}.ffn_norm.weight", np.ones(WIDTH, np.float32)
        for part, value in attention.items():
            yield f"blk.{layer}.attn_{part}.weight", value
        yield f"blk.{layer}.ffn_gate.weight", matrix(FEED_FORWARD, WIDTH)
        yield f"blk.{layer}.ffn_up.weight", matrix(FEED_FORWARD, WIDTH)
        yield f"blk.{layer}.ffn_down.weight", matrix(WIDTH, FEED_FORWARD, output_scale)


def _codes(rng: np.random.Generator) -> Matrix:
    """A row a token: its code where it is looked for and, for the tied output, where the next token will stand."""
    code = np.where(rng.random((VOCABULARY, CODE)) < 0.5, np.float32(-1), np.float32(1))
    table = np.zeros((VOCABULARY, WIDTH), np.float32)
    table[:, TOKEN], table[:, NEXT], table[:, CONSTANT] = code, code, CONSTANT_VALUE
    table[:, FREE] = 0.01 * rng.standard_normal((VOCABULARY, FREE.stop - FREE.start), dtype=np.float32)
    return table


def _look_back(attention: dict[str, Matrix]) -> None:
    """Groups 0 and 1 bring the code of the token before, groups 2 and 3 of the one before that; one head of each group works."""
    pairs = HEAD // 2
    turn = COPY_ROPE_BASE ** (-np.arange(pairs) * 2.0 / HEAD)
    for group in range(KV_HEADS):
        back, rows, head = 1 + group // 2, group * HEAD, group * (HEADS // KV_HEADS) * HEAD
        # The score is the sum over pairs of cos((distance - back) * turn): largest where the distance is `back`.
        attention["k"][rows : rows + HEAD : 2, CONSTANT] = 1.0
        attention["q"][head : head + HEAD : 2, CONSTANT] = np.cos(back * turn)
        attention["q"][head + 1 : head + HEAD : 2, CONSTANT] = -np.sin(back * turn)
        source, target = TOKEN.start + HEAD * (group % 2), (NEIGHBOUR, SECOND)[back - 1].start + HEAD * (group % 2)
        for at in range(HEAD):
            attention["v"][rows + at, source + at] = 0.5
            attention["output"][target + at, head + at] = 1.0


def _look_up(attention: dict[str, Matrix]) -> None:
    """A place matches when what stood before it are the last two tokens; what stands there comes next."""
    slow, share = HEAD - 2 * FAST_PAIRS, CODE // KV_HEADS
    for group in range(KV_HEADS):
        rows, head = group * HEAD, group * (HEADS // KV_HEADS) * HEAD
        for at in range(slow):
            code = group * share + at // 2
            asked, kept = (TOKEN, NEIGHBOUR) if at % 2 == 0 else (NEIGHBOUR, SECOND)
            attention["q"][head + 2 * FAST_PAIRS + at, asked.start + code] = 3.0
            attention["k"][rows + 2 * FAST_PAIRS + at, kept.start + code] = 3.0
        for at in range(share):
            attention["v"][rows + at, TOKEN.start + group * share + at] = 1.0
            attention["output"][NEXT.start + group * share + at, head + at] = 8.0


def words() -> tuple[list[str], list[str]]:
    """Tokens and merges: byte-level BPE over the benchmark's own words, filled up with made-up ones that no merge reaches."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=4096, special_tokens=list(SPECIALS), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([" " + word for word in WORDS], trainer)
    tokens = [str(tokenizer.id_to_token(number)) for number in range(tokenizer.get_vocab_size())]
    rng, known = random.Random(3), set(tokens)  # noqa: S311 (no secret: the same names on every machine)
    while len(tokens) < VOCABULARY:
        made = rng.choice(("Ġ", "")) + "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 7)))
        if made not in known:
            known.add(made)
            tokens.append(made)
    return tokens, [pair if isinstance(pair, str) else " ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def _vocabulary(gguf: Any, writer: Any) -> None:
    tokens, merges = words()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if token in SPECIALS else gguf.TokenType.NORMAL for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


if __name__ == "__main__":
    sys.exit(main())
