"""The energy meter over a folder laid out as the kernel does it."""

from pathlib import Path

from slipway_generator.energy import Rapl


def domain(root: Path, name: str, energy: int, wraps_at: int = 1_000_000_000) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "energy_uj").write_text(f"{energy}\n")
    (folder / "max_energy_range_uj").write_text(f"{wraps_at}\n")
    return folder / "energy_uj"


def test_packages_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    first, second, part = (domain(tmp_path, f"intel-rapl:{name}", 1_000_000) for name in ("0", "1", "0:0"))
    meter = Rapl(tmp_path)
    for path in (first, second, part):
        path.write_text("3500000\n")
    assert meter.gained() == 5.0
    assert meter.gained() == 0.0


def test_a_counter_that_wrapped_counts_on(tmp_path: Path) -> None:
    path = domain(tmp_path, "intel-rapl:0", 9_000_000, wraps_at=9_999_999)
    meter = Rapl(tmp_path)
    path.write_text("1000000\n")
    assert meter.gained() == 2.0


def test_without_a_meter_there_is_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "intel-rapl:0").mkdir()
    assert Rapl(tmp_path).domains == []
    assert Rapl(tmp_path / "nowhere").gained() == 0.0
