"""muP: features move alike at every width, by AdamW and by Muon, whose updates need another factor than Adam's."""

from itertools import product
from typing import Literal

import pytest
import torch
from slipway_training.pretrain import coords
from slipway_training.pretrain.config import ModelConfig, OptimConfig
from slipway_training.pretrain.model import build
from slipway_training.pretrain.optim import make_optimizers, set_rates

WIDTHS = (32, 64, 128)
MUON = OptimConfig(optimizer="muon", muon_learning_rate=0.01, weight_decay=0.0)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_features_move_alike_at_every_width_and_without_mup_they_do_not(optimizer: Literal["adamw", "muon"]) -> None:
    points = [
        point
        for form, width in product(("standard", "mup"), WIDTHS)
        for point in coords.measure(form, width, 0, 3, 1e-2, WIDTHS[0], optimizer)
    ]
    slopes = {form: [coords.growth(points, form, f"layer {layer}", 3) for layer in (1, 2)] for form in ("standard", "mup")}
    assert max(abs(slope) for slope in slopes["mup"]) < 0.3
    assert min(slopes["standard"]) > 0.8


@pytest.mark.parametrize("width", [64, 256])
def test_a_muon_update_has_the_spectral_norm_that_its_shape_asks_for(width: int) -> None:
    shape = ModelConfig(width=width, layers=1, heads=4, kv_heads=2, mlp_width=3 * width, tied=False, init="mup", base_width=64)
    model = build(shape, 64, 16, 0, 0, seed=3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    muon = make_optimizers(model, shape, MUON)[1]
    muon.step()
    for name, p in model.named_parameters():
        if p.ndim == 2 and "embed" not in name and "head" not in name:
            moved = float(torch.linalg.matrix_norm(p.detach() - before[name], ord=2))
            fan_out, fan_in = p.shape
            # Newton and Schulz bring singular values near one only: torch's coefficients to between 0.7 and 1.2.
            assert 0.7 < moved / (0.01 * 0.2 * shape.base_width**0.5 * (fan_out / fan_in) ** 0.5) < 1.3, name


def test_without_mup_every_matrix_has_the_rate_of_the_configuration() -> None:
    shape = ModelConfig(width=128, layers=1, heads=4, kv_heads=2, mlp_width=256, base_width=64)
    muon = make_optimizers(build(shape, 64, 16, 0, 0, seed=3), shape, MUON)[1]
    set_rates([muon], 0.5)
    assert [group["lr"] for group in muon.param_groups] == [0.005]
