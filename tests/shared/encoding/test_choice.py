"""Which engine is taken on which processor, and what the log says of it."""

from pathlib import Path
from typing import Any

import pytest
from slipway_shared.encoding.choice import Choice, EngineMissing, choose, cpu_flags, told_to

AMX = frozenset({"avx512f", "amx_tile", "amx_bf16"})


def test_openvino_is_taken_where_tiles_of_bf16_are_multiplied_and_it_is_installed() -> None:
    assert choose("auto", AMX, True) == Choice("openvino", True, "this processor has AMX for bf16")
    assert choose("auto", AMX - {"amx_tile"}, True).engine == "onnxruntime"
    found = choose("auto", AMX, False)
    assert found.engine == "onnxruntime"
    assert "not installed" in found.reason


def test_a_setting_wins() -> None:
    assert choose("onnxruntime", AMX, True) == Choice("onnxruntime", False, "as set")
    assert choose("openvino", frozenset(), True) == Choice("openvino", False, "as set")
    assert choose("openvino", AMX, True).bf16
    with pytest.raises(EngineMissing, match="pip install openvino"):
        choose("openvino", AMX, False)


def test_features_are_read_as_the_kernel_lists_them(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    assert cpu_flags(file) == frozenset()
    file.write_text("processor\t: 0\nflags\t\t: fpu amx_tile amx_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert cpu_flags(file) == {"fpu", "amx_tile", "amx_bf16"}
    file.write_text("processor\t: 0\n")
    assert cpu_flags(file) == frozenset()


def test_the_log_names_engine_precision_and_reason() -> None:
    lines: list[tuple[str, dict[str, Any]]] = []

    def log(event: str, **fields: Any) -> None:
        lines.append((event, fields))

    told_to(log, "embedding")(choose("auto", AMX, True))
    assert lines == [("embedding engine", {"engine": "openvino", "precision": "bf16", "reason": "this processor has AMX for bf16"})]
