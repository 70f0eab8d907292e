"""The flavors of a small fresh model: they load, they are verified, and they compute what transformers computes."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("llama_cpp")

from slipway_shared.manifest import ManifestError, load_verified  # noqa: E402
from slipway_training.config import ModelConfig  # noqa: E402
from slipway_training.errors import ExportError  # noqa: E402
from slipway_training.evaluation.parity import parity  # noqa: E402
from slipway_training.evaluation.readers import LlamaCppModel, ModelReader, TransformersModel, open_flavor  # noqa: E402
from slipway_training.export.gguf_file import write_gguf  # noqa: E402
from slipway_training.export.release import export_flavors, write_figures  # noqa: E402
from slipway_training.model import build_model  # noqa: E402
from slipway_training.tokenizer import encode  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402
from transformers import LlamaForCausalLM  # noqa: E402

SHAPE = ModelConfig(vocab_size=600, width=64, layers=2, heads=2, kv_heads=1, mlp_width=96, context_tokens=256, copy_start=0.5)
TEXT = "The gateway listens on port 8443. Run `make up` to start it."


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.set_num_threads(1)
    return build_model(SHAPE, 1, 0, 17).eval()


def test_gguf_f16_is_the_model(model: LlamaForCausalLM, tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_gguf(model, tokenizer, tmp_path / "f16.gguf", "test")
    opened = LlamaCppModel(tmp_path / "f16.gguf", 256)
    found = parity(TransformersModel(model), opened, [encode(tokenizer, TEXT)], stop=1, limit=8)
    assert found.max_logit_error < 0.1
    assert found.kl < 1e-4
    for text in (TEXT, "Grüße 😀 漢字", "12345 v1.2", "  two  blanks\n\n`x_y`", "it's ½"):
        assert opened.tokenize(text) == encode(tokenizer, text)


def test_every_flavor_is_verified_and_answers(model: LlamaForCausalLM, tokenizer: Tokenizer, tmp_path: Path) -> None:
    made = export_flavors(model, tokenizer, tmp_path, "slipway-test", ("int8", "int4", "f16"))
    assert [v.manifest.id for v in made] == ["slipway-test:int8", "slipway-test:int4", "slipway-test:f16"]
    for verified in made:
        assert verified.manifest.kind == "reader"
        again, opened = open_flavor(verified.folder)
        assert again.digest == verified.digest
        reply = ModelReader(opened, tokenizer, 256).answer(["word " * 200, "The port is 80."], "Which port?")
        assert isinstance(reply, str)
    with (tmp_path / "int8" / "model.gguf").open("r+b") as file:
        file.seek(3000)
        file.write(b"\x00\x01\x02")
    with pytest.raises(ManifestError, match="altered"):
        open_flavor(tmp_path / "int8")


def test_figures_change_the_digest(model: LlamaForCausalLM, tokenizer: Tokenizer, tmp_path: Path) -> None:
    (made,) = export_flavors(model, tokenizer, tmp_path, "slipway-test", ("int8",))
    after = write_figures(made.folder, {"f1@test": 0.5})
    assert after.digest != made.digest
    assert load_verified(made.folder).manifest.eval == {"f1@test": 0.5}


def test_a_flavor_that_there_is_not_is_refused_by_name(model: LlamaForCausalLM, tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no flavor is called int3; there are int8"):
        export_flavors(model, tokenizer, tmp_path, "slipway-test", ("int8", "int3"))


@pytest.mark.slow
@pytest.mark.parametrize("flavor", ["int4-onnx", "int8-onnx"])
def test_the_onnx_flavors_run(tokenizer: Tokenizer, tmp_path: Path, flavor: str) -> None:
    pytest.importorskip("onnxruntime_genai")
    shape = SHAPE.model_copy(update={"width": 128, "mlp_width": 128})
    small = build_model(shape, 1, 0, 17).eval()
    (made,) = export_flavors(small, tokenizer, tmp_path, "slipway-test", (flavor,))
    assert made.manifest.engine == "onnx"
    _, opened = open_flavor(made.folder)
    found = parity(TransformersModel(small), opened, [encode(tokenizer, TEXT)], stop=1, limit=4)
    assert found.kl < 0.5
