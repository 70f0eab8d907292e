"""Whether a learning rate transfers over widths: the arithmetic on losses that are known, and a real sweep in small."""

from collections.abc import Callable
from math import inf, log
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from slipway_training.errors import ConfigError
from slipway_training.pretrain import transfer
from slipway_training.pretrain.studies import transfer_check
from slipway_training.pretrain.transfer import Trial

RATES = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)


def valley(form: str, width: int, best: float) -> list[Trial]:
    """Losses that are a parabola over the logarithm of the rate."""
    return [Trial(form, width, rate, 17, 3.0 + (log(rate) - log(best)) ** 2) for rate in RATES]


def test_the_best_rate_is_the_vertex_between_the_rates_that_were_tried() -> None:
    assert transfer.best_rate(valley("mup", 64, 3e-3), "mup", 64) == pytest.approx(3e-3)
    assert transfer.best_rate(valley("mup", 64, 1e-4), "mup", 64) == RATES[0]


def test_a_run_that_diverged_beside_the_best_leaves_the_rate_of_the_grid() -> None:
    trials = [*valley("mup", 64, 4e-3)[:3], Trial("mup", 64, 8e-3, 17, inf), Trial("mup", 64, 1.6e-2, 17, inf)]
    assert transfer.best_rate(trials, "mup", 64) == 4e-3


def test_drift_is_the_power_of_the_width_and_what_is_lost_is_in_nats() -> None:
    trials = [
        *(t for width, best in ((64, 8e-3), (128, 4e-3), (256, 2e-3)) for t in valley("standard", width, best)),
        *(t for width in (64, 128, 256) for t in valley("mup", width, 4e-3)),
    ]
    assert transfer.drift(trials, "standard") == pytest.approx(-1.0)
    assert transfer.drift(trials, "mup") == pytest.approx(0.0)
    assert transfer.lost(trials, "standard") == pytest.approx(log(4) ** 2)
    assert transfer.lost(trials, "mup") == pytest.approx(0.0)


def test_a_sweep_trains_every_width_at_every_rate_and_leaves_its_figures(tiny: Callable[..., Any], tmp_path: Path) -> None:
    config = tiny("run.tokens=4096")
    trials = transfer_check(Console(quiet=True), config, (32, 64), RATES[::2], 1, ("standard", "mup"), tmp_path / "out")
    assert len(trials) == 12
    assert all(0 < t.loss < 8 for t in trials)
    assert len({t.loss for t in trials if t.width == 64}) == 6
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"transfer.json", "transfer.svg"}


def test_widths_and_rates_that_tell_nothing_are_refused(tiny: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="multiples of 32"):
        transfer.sweep(tiny(), (48, 64), RATES, 1, ("mup",), lambda _trial: None)
    with pytest.raises(ConfigError, match="three or more"):
        transfer.sweep(tiny(), (32, 64), RATES[:2], 1, ("mup",), lambda _trial: None)
    with pytest.raises(ConfigError, match="knows standard and mup, not spectral"):
        transfer.sweep(tiny(), (32, 64), RATES, 1, ("mup", "spectral"), lambda _trial: None)
