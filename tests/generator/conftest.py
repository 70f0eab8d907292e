"""A tiny model of random weights, made once a run, and the generator as a real process on loopback."""

import json
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import httpx
import numpy as np
import pytest
import structlog
from slipway_generator.engines.choice import open_model
from slipway_generator.model import identify
from slipway_generator.opened import Opened
from slipway_generator.settings import Settings
from slipway_shared import manifest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CONTEXT_TOKENS = 1024
MODELS = Path(__file__).parents[2] / "models"
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HIDDEN, LAYERS, HEADS, KV_HEADS, FEED_FORWARD = 64, 2, 4, 2, 128


def train_tokenizer() -> Tokenizer:
    """A byte-level BPE over words that the tests use, with every byte in its alphabet."""
    words = "the quick brown fox jumps over a lazy dog while slipway serves small language models on laptops über naïve café 123 4567"
    rng = random.Random(7)
    corpus = [" ".join(rng.choices(words.split(), k=12)) + "." for _ in range(400)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def write_gguf(path: Path, tokenizer: Tokenizer, added: Mapping[str, Any] | None = None, seed: int = 11) -> None:
    """A Llama of random weights, with `added` on top where it names a tensor.

    Matrices are scaled so that the logits are peaked: greedy decoding then does not hang on rounding.
    """
    rng = np.random.default_rng(seed)
    vocabulary = tokenizer.get_vocab_size()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(vocabulary)
    _write_vocabulary(writer, tokenizer)
    for name, shape in tensor_shapes(vocabulary):
        norm = name.endswith("norm.weight")
        value = np.ones(shape, np.float32) if norm else (rng.standard_normal(shape) * (2.0 / np.sqrt(shape[-1]))).astype(np.float32)
        writer.add_tensor(name, value + added[name] if added and name in added else value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_vocabulary(writer: Any, tokenizer: Tokenizer) -> None:
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    kinds = [gguf.TokenType.CONTROL if token in SPECIALS else gguf.TokenType.NORMAL for token in tokens]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def tensor_shapes(vocabulary: int) -> list[tuple[str, tuple[int, ...]]]:
    head = HIDDEN // HEADS
    shapes: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (vocabulary, HIDDEN)),
        ("output_norm.weight", (HIDDEN,)),
        ("output.weight", (vocabulary, HIDDEN)),
    ]
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        shapes += [
            (block + "attn_norm.weight", (HIDDEN,)),
            (block + "attn_q.weight", (HIDDEN, HIDDEN)),
            (block + "attn_k.weight", (KV_HEADS * head, HIDDEN)),
            (block + "attn_v.weight", (KV_HEADS * head, HIDDEN)),
            (block + "attn_output.weight", (HIDDEN, HIDDEN)),
            (block + "ffn_norm.weight", (HIDDEN,)),
            (block + "ffn_gate.weight", (FEED_FORWARD, HIDDEN)),
            (block + "ffn_up.weight", (FEED_FORWARD, HIDDEN)),
            (block + "ffn_down.weight", (HIDDEN, FEED_FORWARD)),
        ]
    return shapes


def describe(folder: Path, files: list[str], **fields: Any) -> None:
    """Write the manifest of a test model."""
    written = manifest.Manifest(
        model="tiny", flavor="f32", created=1, context_tokens=CONTEXT_TOKENS, eval={"made_up@test": 0.5},
        files=tuple(manifest.describe_file(folder, name) for name in files), **fields,
    )  # fmt: skip
    manifest.write_manifest(folder, written)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Tokenizer:
    return train_tokenizer()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Tokenizer) -> Path:
    """The folder of a verified GGUF flavor."""
    folder = tmp_path_factory.mktemp("tiny")
    write_gguf(folder / "tiny.gguf", tiny_tokenizer)
    describe(folder, ["tiny.gguf"], engine="llamacpp", entry="tiny.gguf")
    return folder


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Tokenizer) -> Path:
    """A flavor of the same vocabulary and of other random weights: as a draft it is nearly always wrong."""
    folder = tmp_path_factory.mktemp("other")
    write_gguf(folder / "tiny.gguf", tiny_tokenizer, seed=12)
    describe(folder, ["tiny.gguf"], engine="llamacpp", entry="tiny.gguf")
    return folder


@dataclass(frozen=True)
class Running:
    """A generator process and where it listens."""

    base: str
    process: subprocess.Popen[str]
    model: str
    log: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.base, timeout=120)

    def metric(self, name: str) -> float:
        """The sum of a metric's samples, whatever their labels."""
        lines = httpx.get(f"{self.base}/metrics").text.splitlines()
        samples = [line.split(" # ")[0] for line in lines if re.match(rf"{re.escape(name)}(\{{|\s)", line)]
        assert samples, f"no sample of {name}"
        return sum(float(sample.rsplit(" ", 1)[1]) for sample in samples)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(tmp: Path, model: str, name: str, patience: float = 30.0, **settings: Any) -> Running:
    """Start the generator and wait until it is ready, `patience` seconds at most."""
    port = free_port()
    environment = {**os.environ, "SLIPWAY_GENERATOR_MODEL": model, "OMP_NUM_THREADS": "1"}
    environment |= {f"SLIPWAY_GENERATOR_{key.upper()}": str(value) for key, value in settings.items()}
    log = tmp / "generator.log"
    with log.open("w") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "slipway_generator", "--port", str(port)], stderr=sink, text=True, env=environment
        )
    running = Running(f"http://127.0.0.1:{port}", process, name, log)
    for _ in range(int(patience * 20)):
        if process.poll() is not None:
            raise AssertionError(f"the generator ended with {process.returncode}: {log.read_text()[-2000:]}")
        try:
            if httpx.get(f"{running.base}/readyz").status_code == 200:
                return running
        except httpx.ConnectError:
            pass
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"not ready in {patience} s: {log.read_text()[-2000:]}")


def stop(running: Running) -> None:
    running.process.terminate()
    try:
        running.process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        running.process.kill()
        running.process.wait()


Start = Callable[..., Running]


@pytest.fixture
def starts(tmp_path: Path) -> Iterator[Start]:
    """Start generators that end with the test."""
    all_running: list[Running] = []

    def begin(model: str, name: str, **settings: Any) -> Running:
        place = tmp_path / str(len(all_running))
        place.mkdir()
        all_running.append(start(place, model, name, **settings))
        return all_running[-1]

    yield begin
    for running in all_running:
        stop(running)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Running]:
    """The tiny GGUF behind llama.cpp."""
    pytest.importorskip("llama_cpp", reason="llama.cpp is not installed")
    running = start(tmp_path_factory.mktemp("llamacpp"), str(tiny_model), "tiny:f32", temperature=0, kv_type="f32")
    yield running
    stop(running)


@pytest.fixture(scope="session")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The embedded ONNX flavor behind onnxruntime-genai."""
    pytest.importorskip("onnxruntime_genai", reason="onnxruntime-genai is not installed")
    flavors = [(folder, manifest.read_manifest(folder)[0]) for folder in manifest.find_flavors(MODELS)]
    chosen = [(folder, written) for folder, written in flavors if written.engine == "onnx"]
    if not chosen:
        pytest.skip("models/ holds no ONNX flavor")
    running = start(tmp_path_factory.mktemp("onnx"), str(chosen[0][0]), chosen[0][1].id, temperature=0, onnx_batch=4)
    yield running
    stop(running)


Opening = Callable[..., AbstractAsyncContextManager[Opened]]


@pytest.fixture
def opening(tiny_model: Path) -> Opening:
    """The tiny GGUF's engine in this process. Its KV cache is f32, so that rounding does not flip a random model's near ties."""
    pytest.importorskip("llama_cpp", reason="llama.cpp is not installed")

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncGenerator[Opened]:
        chosen = Settings(model=str(tiny_model), kv_type="f32", threads=1, **settings)
        one = await open_model(identify(chosen), chosen, structlog.get_logger())
        try:
            yield one
        finally:
            await one.engine.aclose()

    return opened


@pytest.fixture(scope="session")
def hub_folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Tokenizer) -> Path:
    """The folder of a verified safetensors flavor for vLLM: a Llama of random weights, its logits peaked."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    folder = tmp_path_factory.mktemp("hub")
    end = tiny_tokenizer.token_to_id("<|im_end|>")
    torch.manual_seed(11)
    shape = transformers.LlamaConfig(
        vocab_size=tiny_tokenizer.get_vocab_size(), hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=CONTEXT_TOKENS, eos_token_id=end, bos_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(shape)
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, std=(3.0 if "lm_head" in name else 1.5) / weight.shape[1] ** 0.5)
    model.to(torch.bfloat16).save_pretrained(folder)
    tiny_tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "bos_token": "<|endoftext|>",
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    files = sorted(path.name for path in folder.iterdir() if path.is_file())
    describe(folder, files, engine="vllm", entry=".", device_classes=("gpu", "x86"))
    return folder


@pytest.fixture(scope="session")
def adapters_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the real vLLM's adapters lie."""
    return tmp_path_factory.mktemp("adapters-root")


@pytest.fixture(scope="session")
def vllm(tmp_path_factory: pytest.TempPathFactory, hub_folder: Path, adapters_root: Path) -> Iterator[Running]:
    """The tiny safetensors model behind a real vLLM server (its CPU build, in a venv of its own)."""
    if not os.environ.get("SLIPWAY_GENERATOR_VLLM_PYTHON"):
        pytest.skip("SLIPWAY_GENERATOR_VLLM_PYTHON names no Python with vLLM; `make test-vllm` installs one and sets it")
    running = start(
        tmp_path_factory.mktemp("vllm"), str(hub_folder), "tiny:f32", 600.0, temperature=0, adapters_dir=str(adapters_root), max_adapters=2,
        max_adapter_rank=16, vllm_args="--enforce-eager --dtype float32",
    )  # fmt: skip
    yield running
    stop(running)


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The engine without weights."""
    running = start(tmp_path_factory.mktemp("echo"), "echo", "echo")
    yield running
    stop(running)
