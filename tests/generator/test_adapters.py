"""LoRA adapters at run time on llama.cpp: the same answers as merged weights, listed, leased, and refused when altered."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from slipway_shared import manifest

from tests.generator import conftest as model

RANK, ALPHA = 4, 8.0
TARGETS = ("attn_q", "attn_v", "ffn_down")


def deltas() -> dict[str, tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.float32]]]]:
    """Per tensor: A (rank, in) and B (out, rank)."""
    rng = np.random.default_rng(5)
    shapes = dict(model.tensor_shapes(512))
    out = {}
    for layer in range(model.LAYERS):
        for target in TARGETS:
            name = f"blk.{layer}.{target}.weight"
            rows, columns = shapes[name]
            out[name] = (
                (rng.standard_normal((RANK, columns)) * 0.4).astype(np.float32),
                (rng.standard_normal((rows, RANK)) * 0.4).astype(np.float32),
            )
    return out


def write_adapter(folder: Path, *, of: str = "tiny", engine: str = "llamacpp") -> None:
    folder.mkdir(parents=True)
    writer = gguf.GGUFWriter(folder / "adapter.gguf", "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    for name, (a, b) in deltas().items():
        writer.add_tensor(f"{name}.lora_a", a)
        writer.add_tensor(f"{name}.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model.describe(folder, ["adapter.gguf"], engine=engine, entry="adapter.gguf", adapter_of=of)


@pytest.fixture(scope="module")
def adapters_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `good`, `altered` (one byte), `stranger` (of another model) and `broken` (no GGUF), each with a manifest."""
    root = tmp_path_factory.mktemp("adapters")
    for name in ("good", "altered"):
        write_adapter(root / name)
    write_adapter(root / "stranger", of="somebody-else")
    raw = bytearray((root / "altered" / "adapter.gguf").read_bytes())
    raw[-1] ^= 1
    (root / "altered" / "adapter.gguf").write_bytes(raw)
    (root / "broken").mkdir()
    (root / "broken" / "adapter.gguf").write_bytes(b"GGUF" + bytes(200))
    model.describe(root / "broken", ["adapter.gguf"], engine="llamacpp", entry="adapter.gguf", adapter_of="tiny")
    return root


@pytest.fixture(scope="module")
def merged_model(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Path:
    """The tiny model with the adapter's product added to its weights."""
    folder = tmp_path_factory.mktemp("merged")
    added = {name: b @ a * (ALPHA / RANK) for name, (a, b) in deltas().items()}
    model.write_gguf(folder / "tiny.gguf", tiny_tokenizer, added)
    model.describe(folder, ["tiny.gguf"], engine="llamacpp", entry="tiny.gguf")
    return folder


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, adapters_dir: Path) -> Iterator[model.Running]:
    pytest.importorskip("llama_cpp", reason="llama.cpp is not installed")
    running = model.start(
        tmp_path_factory.mktemp("adapted"),
        str(tiny_model),
        "tiny:f32",
        temperature=0,
        kv_type="f32",
        adapters_dir=str(adapters_dir),
        max_adapters=2,
    )
    yield running
    model.stop(running)


def post(generator: model.Running, path: str, **body: Any) -> Any:
    with generator.client() as client:
        return client.post(path, json=body)


def say(generator: model.Running, name: str, prompt: str = "the quick brown fox", tokens: int = 24) -> str:
    response = post(generator, "/v1/completions", model=name, prompt=prompt, max_tokens=tokens, temperature=0)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["text"]


@pytest.fixture
def loaded(generator: model.Running) -> Iterator[str]:
    """The good adapter under a name, unloaded afterwards."""
    response = post(generator, "/v1/load_lora_adapter", lora_name="tuned", lora_path="good")
    assert response.status_code == 200, response.text
    yield "tuned"
    post(generator, "/v1/unload_lora_adapter", lora_name="tuned")


def test_an_adapter_says_what_merged_weights_say(generator: model.Running, loaded: str, merged_model: Path, tmp_path: Path) -> None:
    base = say(generator, "tiny:f32")
    merged = model.start(tmp_path, str(merged_model), "tiny:f32", temperature=0, kv_type="f32")
    try:
        expected = say(merged, "tiny:f32")
    finally:
        model.stop(merged)
    assert say(generator, loaded) == expected != base
    assert say(generator, "tiny:f32") == base


def test_both_at_once_get_what_each_gets_alone(generator: model.Running, loaded: str) -> None:
    alone = {name: say(generator, name, tokens=60) for name in ("tiny:f32", loaded)}
    together: dict[tuple[str, int], str] = {}

    def ask(name: str, number: int) -> None:
        together[name, number] = say(generator, name, tokens=60)

    threads = [threading.Thread(target=ask, args=(name, number)) for name in alone for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == {(name, number): alone[name] for name in alone for number in range(2)}


def test_it_is_listed_with_its_parent_and_its_own_digest(generator: model.Running, loaded: str) -> None:
    with generator.client() as client:
        base, adapter = client.get("/v1/models").json()["data"]
    assert adapter["id"] == loaded
    assert adapter["parent"] == base["id"] == "tiny:f32"
    assert adapter["digest"] != base["digest"]
    chat = post(generator, "/v1/chat/completions", model=loaded, messages=[{"role": "user", "content": "fox"}], max_tokens=2)
    assert chat.json()["model"] == loaded


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("altered", "was altered"),
        ("stranger", "belongs to somebody-else"),
        ("broken", "does not fit"),
        ("nowhere", "names no folder"),
        ("../..", "names no folder"),
        ("/etc", "names no folder"),
    ],
)
def test_what_must_not_be_loaded_is_refused_and_the_engine_lives(generator: model.Running, path: str, words: str) -> None:
    before = say(generator, "tiny:f32")
    response = post(generator, "/v1/load_lora_adapter", lora_name="bad", lora_path=path)
    assert response.status_code == 400
    assert words in response.json()["error"]["message"]
    assert say(generator, "tiny:f32") == before


def test_names_limits_and_unknown_adapters(generator: model.Running, loaded: str) -> None:
    assert post(generator, "/v1/load_lora_adapter", lora_name=loaded, lora_path="good").status_code == 409
    assert post(generator, "/v1/load_lora_adapter", lora_name="tiny:f32", lora_path="good").status_code == 409
    assert post(generator, "/v1/load_lora_adapter", lora_name="second", lora_path="good").status_code == 200
    assert post(generator, "/v1/load_lora_adapter", lora_name="third", lora_path="good").status_code == 409
    assert post(generator, "/v1/unload_lora_adapter", lora_name="second").status_code == 200
    assert post(generator, "/v1/unload_lora_adapter", lora_name="second").status_code == 404
    assert post(generator, "/v1/completions", model="second", prompt="x").status_code == 404


def test_an_adapter_in_use_is_freed_after_its_last_request(generator: model.Running) -> None:
    assert post(generator, "/v1/load_lora_adapter", lora_name="leaving", lora_path="good").status_code == 200
    body = {
        "model": "leaving",
        "prompt": "the fox",
        "max_tokens": 400,
        "temperature": 1.0,
        "seed": 3,
        "stream": True,
        "logit_bias": {"2": -100},
    }
    unloaded: list[int] = []
    with generator.client() as client, client.stream("POST", "/v1/completions", json=body) as response:
        lines = response.iter_lines()
        next(lines)
        thread = threading.Thread(
            target=lambda: unloaded.append(post(generator, "/v1/unload_lora_adapter", lora_name="leaving").status_code)
        )
        thread.start()
        text = "".join(lines)
    thread.join(30)
    assert "[DONE]" in text
    assert unloaded == [200]
    assert post(generator, "/v1/completions", model="leaving", prompt="x").status_code == 404


def test_an_engine_without_adapters_says_so(echo: model.Running) -> None:
    response = post(echo, "/v1/load_lora_adapter", lora_name="tuned", lora_path="good")
    assert response.status_code == 400
    assert "takes no adapters" in response.json()["error"]["message"]


def test_a_folder_that_is_not_set_loads_nothing(tiny: model.Running, adapters_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(adapters_dir / "good", tmp_path / "good")
    assert manifest.load_verified(tmp_path / "good").manifest.adapter_of == "tiny"
    response = post(tiny, "/v1/load_lora_adapter", lora_name="tuned", lora_path=str(tmp_path / "good"))
    assert response.status_code == 400
    assert "SLIPWAY_GENERATOR_ADAPTERS_DIR" in response.json()["error"]["message"]
