"""How llama.cpp would be compiled. One real build takes minutes and is done by `make up` on a fresh machine, not here."""

import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "llamacpp.py"
AMX = frozenset({"amx_tile", "amx_int8", "amx_bf16"})
SAPPHIRE_RAPIDS = AMX | {
    "sse4_2", "avx", "avx2", "fma", "f16c", "bmi2", "avx_vnni", "avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw", "avx512vbmi",
    "avx512_vnni", "avx512_bf16",
}  # fmt: skip


def understands_all(_options: Iterable[str]) -> bool:
    return True


def understands_no_vnni(options: Iterable[str]) -> bool:
    return "-mavxvnni" not in options


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("slipway_deploy_llamacpp", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_instruction_set_of_the_processor_is_on_and_amx_with_its_header(script: ModuleType) -> None:
    flags, arguments = script.plan("x86_64", SAPPHIRE_RAPIDS, understands_all)
    assert {"-DGGML_NATIVE=OFF", "-DGGML_AMX_TILE=ON", "-DGGML_AMX_INT8=ON", "-DGGML_AVX512_BF16=ON", "-DLLAVA_BUILD=OFF"} <= set(arguments)
    assert set(flags) == SAPPHIRE_RAPIDS - {"amx_bf16"}
    assert len(flags) == len(set(flags))
    assert "GGML_AMX_TILE" in script.SLIM.read_text()


MENDED = """
import sys
sys.path.insert(0, sys.argv[1])
import llamacpp_check as check, numpy as np, torch
torch.set_num_threads(1)
plain = check.logits(repack=False)
for _ in range(3):
    check.logits(repack=True)
    matrix = torch.randn(256, 256, dtype=torch.bfloat16)
    (matrix @ matrix).sum()
    own = check.logits(repack=True)
    assert own @ plain / (np.linalg.norm(own) * np.linalg.norm(plain)) > 0.999
"""


def test_another_library_that_uses_the_tiles_in_the_same_thread_disturbs_nothing() -> None:
    """Means something where the processor has AMX: without the mending it died of an illegal instruction."""
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("llama_cpp", reason="llama.cpp is not installed")
    done = subprocess.run([sys.executable, "-c", MENDED, str(SCRIPT.parent)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_an_instruction_set_that_is_missing_in_part_is_off(script: ModuleType) -> None:
    flags, arguments = script.plan("x86_64", frozenset({"sse4_2", "avx", "avx512f", "avx512cd"}), understands_all)
    assert "-DGGML_AVX512=OFF" in arguments
    assert flags == ["sse4_2", "avx"]


def test_what_the_compiler_does_not_know_is_off(script: ModuleType) -> None:
    flags, arguments = script.plan("x86_64", SAPPHIRE_RAPIDS, understands_no_vnni)
    assert "-DGGML_AVX_VNNI=OFF" in arguments
    assert "avx_vnni" not in flags


def test_arm_leaves_the_choice_to_the_compiler(script: ModuleType) -> None:
    flags, arguments = script.plan("aarch64", frozenset({"asimd", "asimddp", "i8mm"}), understands_all)
    assert arguments[0] == "-DGGML_NATIVE=ON"
    assert flags == ["asimddp", "i8mm"]


def test_a_build_suits_only_its_version_machine_and_a_processor_with_its_features(script: ModuleType) -> None:
    note = {"version": "1", "machine": platform.machine(), "recipe": script.recipe(), "flags": ["avx2"]}
    assert script.suits(note, "1", frozenset({"avx2", "avx"}))
    assert not script.suits(note, "2", frozenset({"avx2"}))
    assert not script.suits(note, "1", frozenset({"avx"}))
    assert not script.suits({**note, "machine": "riscv128"}, "1", frozenset({"avx2"}))
    assert not script.suits({**note, "recipe": "another"}, "1", frozenset({"avx2"}))
    assert not script.suits(None, "1", frozenset())


def test_the_version_and_its_hash_come_from_the_lock(script: ModuleType) -> None:
    lock = script.LOCK.read_text()
    block = script.locked_block(lock)
    assert block.startswith(f"llama-cpp-python=={script.locked_version(lock)} ")
    assert block.count("==") == 1
    assert "--hash=sha256:" in block


def test_other_flags_are_kept_in_another_folder(script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLIPWAY_WHEEL_CACHE", str(tmp_path))
    one, other = (script.cache_folder({"version": "1", "flags": flags, "cmake": []}) for flags in (["avx"], ["avx", "avx2"]))
    assert one.parent == other.parent == tmp_path
    assert one != other


def run_without_packages(**environ: str) -> "subprocess.CompletedProcess[str]":
    # -S hides the installed packages, so that the script believes to be on a machine where nothing was built.
    return subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT)],
        env={"HOME": os.environ["HOME"], **environ}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_without_a_compiler_it_says_who_serves_and_succeeds(tmp_path: Path) -> None:
    done = run_without_packages(PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "no C++ compiler" in done.stdout
    assert "ONNX Runtime will serve" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_another_engine_by_choice_compiles_nothing() -> None:
    done = run_without_packages(PATH=os.environ["PATH"], SLIPWAY_ENGINE="onnx")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)


def test_a_step_that_fails_is_logged_in_full_and_its_progress_shown(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "build.log"
    with log.open("w") as handle:
        assert not script.run([sys.executable, "-c", "print('[1/2] Building x'); raise SystemExit('the reason')"], dict(os.environ), handle)
    assert log.read_text() == "[1/2] Building x\nthe reason\n"
    assert "1 of 2" in capsys.readouterr().out
