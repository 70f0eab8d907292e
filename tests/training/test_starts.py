"""The copy-friendly start: the circuit is there before any training."""

import pytest

torch = pytest.importorskip("torch")

from slipway_training.config import ModelConfig  # noqa: E402
from slipway_training.model import build_model  # noqa: E402

SHAPE = ModelConfig(vocab_size=600, width=128, layers=3, heads=2, kv_heads=1, mlp_width=96, context_tokens=256, rope_theta=100000.0)


def copied(strength: float) -> float:
    """Share of tokens predicted right in the second half of random text that stands twice."""
    model = build_model(SHAPE.model_copy(update={"copy_start": strength}), 1, 0, 17).eval()
    half = torch.randperm(590, generator=torch.Generator().manual_seed(1))[:60] + 5
    tokens = torch.cat([half, half])[None]
    with torch.inference_mode():
        said = model(input_ids=tokens).logits[0, 60:-1].argmax(-1)
    return float((said == tokens[0, 61:]).float().mean())


def test_an_untrained_model_with_the_start_copies() -> None:
    assert copied(0.5) > 0.2
    assert copied(0.0) < 0.05
