"""Compile and install llama.cpp for the processor of this machine, unless that was done already: `python deploy/llamacpp.py`.

It knows which instruction sets are worth a flag, and needs nothing but the standard library, pip and a C++ compiler; cmake and ninja are fetched at locked
versions. It refuses to know who uses the library.

AMX needs what `llamacpp.cmake` mends: as it is, gcc 12 makes of it a llama.cpp that dies at the first decode of every quantized model (ggml-org/llama.cpp#20824).
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TextIO

NAME = "llama-cpp-python"
HERE = Path(__file__).resolve().parent
LOCK = HERE.parent / "requirements" / "serve.lock"
BUILD_LOCK = HERE / "llamacpp.lock"
SLIM = HERE / "llamacpp.cmake"
CHECK = HERE / "llamacpp_check.py"
NOTE = "slipway-build.json"
TAIL_LINES = 15
# pip keeps wheels that it built once, whatever their flags were: without its cache it cannot take one that was built for another processor.
WHEEL_OPTIONS = ("-v", "--no-cache-dir", "--no-deps", "--no-build-isolation", "--no-binary", NAME, "--require-hashes")

# ggml's option: (what the kernel calls the features in /proc/cpuinfo, what the compiler must understand). From ggml/src/ggml-cpu/CMakeLists.txt.
OPTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "SSE42": (("sse4_2",), ("-msse4.2",)),
    "AVX": (("avx",), ("-mavx",)),
    "AVX2": (("avx2",), ("-mavx2",)),
    "FMA": (("fma",), ("-mfma",)),
    "F16C": (("f16c",), ("-mf16c",)),
    "BMI2": (("bmi2",), ("-mbmi2",)),
    "AVX_VNNI": (("avx_vnni",), ("-mavxvnni",)),
    "AVX512": (
        ("avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"),
        ("-mavx512f", "-mavx512cd", "-mavx512vl", "-mavx512dq", "-mavx512bw"),
    ),
    "AVX512_VBMI": (("avx512vbmi",), ("-mavx512vbmi",)),
    "AVX512_VNNI": (("avx512_vnni",), ("-mavx512vnni",)),
    "AVX512_BF16": (("avx512_bf16",), ("-mavx512bf16",)),
    "AMX_TILE": (("amx_tile",), ("-mamx-tile",)),
    "AMX_INT8": (("amx_tile", "amx_int8"), ("-mamx-int8",)),
}
X86 = ("x86_64", "AMD64")
# With GGML_NATIVE the compiler chooses by itself on arm64; these are the features whose absence would then matter.
ARM_FEATURES = ("asimddp", "asimdhp", "i8mm", "sve", "sve2", "sme", "bf16")


def main() -> int:
    """0 when llama.cpp is installed or nothing can be compiled here; 1 when compiling failed."""
    version = locked_version(LOCK.read_text())
    have = cpu_flags(Path("/proc/cpuinfo"))
    if suits(installed_note(), version, have):
        return 0
    if (engine := os.environ.get("SLIPWAY_ENGINE", "")) in ("onnx", "echo"):
        print(f"slipway: SLIPWAY_ENGINE={engine}, so llama.cpp is not compiled")
        return 0
    compiler = find_compiler()
    if compiler is None:
        print("slipway: no C++ compiler (on Debian: apt-get install g++), so llama.cpp is not built; ONNX Runtime will serve")
        return 0
    flags, arguments = plan(platform.machine(), have, lambda options: understands(compiler, options))
    note = {"version": version, "machine": platform.machine(), "recipe": recipe(), "flags": flags, "cmake": arguments}
    cache = cache_folder(note)
    wheel = next(iter(sorted(cache.glob("*.whl"))), None)
    if wheel is None:
        print(f"slipway: compiling llama.cpp {version} for this processor, once; it takes some minutes", flush=True)
        wheel = build(cache, arguments)
    return install(wheel, note) if wheel else 1


def locked_version(lock: str) -> str:
    """The version that the lock names."""
    match = re.search(rf"^{NAME}==(\S+)", lock, re.MULTILINE)
    if match is None:
        raise SystemExit(f"{LOCK} does not name {NAME}")
    return match.group(1)


def cpu_flags(cpuinfo: Path) -> frozenset[str]:
    """The features of the first processor as the kernel spells them; empty where there is no such file."""
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text(encoding="ascii", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return frozenset(value.split())
    return frozenset()


def suits(note: Mapping[str, object] | None, version: str, have: frozenset[str]) -> bool:
    """Whether the installed build is of `version` and this recipe, for this kind of machine, and uses no feature that this processor lacks."""
    if note is None or (note.get("version"), note.get("machine"), note.get("recipe")) != (version, platform.machine(), recipe()):
        return False
    flags = note.get("flags")
    return isinstance(flags, list) and (not have or {str(flag) for flag in flags} <= have)


def recipe() -> str:
    """A digest of what is done to the sources and of what is known about processors: a build of another recipe is made anew."""
    return hashlib.sha256(json.dumps([OPTIONS, SLIM.read_text()]).encode()).hexdigest()[:12]


def plan(machine: str, have: frozenset[str], understood: Callable[[Iterable[str]], bool]) -> tuple[list[str], list[str]]:
    """(processor features that the build will use, arguments for cmake)."""
    arguments = ["-DLLAVA_BUILD=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF", f"-DCMAKE_PROJECT_llama_cpp_INCLUDE={SLIM}"]
    if machine not in X86:
        return sorted(have.intersection(ARM_FEATURES)), ["-DGGML_NATIVE=ON", *arguments]
    used: list[str] = []
    arguments.insert(0, "-DGGML_NATIVE=OFF")
    for option, (features, compiler_flags) in OPTIONS.items():
        on = have.issuperset(features) and understood(compiler_flags)
        arguments.append(f"-DGGML_{option}={'ON' if on else 'OFF'}")
        used += [feature for feature in features if on and feature not in used]
    return used, arguments


def find_compiler() -> str | None:
    """The C++ compiler: CXX, else what the path has."""
    names = [*shlex.split(os.environ.get("CXX", ""))[:1], "c++", "g++", "clang++"]
    return next((found for name in names if (found := shutil.which(name))), None)


def understands(compiler: str, options: Iterable[str]) -> bool:
    """Whether `compiler` takes `options`; older ones do not know younger instruction sets."""
    command = [compiler, *options, "-x", "c++", "-fsyntax-only", "-"]
    return subprocess.run(command, input=b"int main(){}", capture_output=True, check=False).returncode == 0


def cache_folder(note: Mapping[str, object]) -> Path:
    """Where the wheel of exactly this build is kept for the next checkout."""
    root = Path(os.environ.get("SLIPWAY_WHEEL_CACHE") or Path.home() / ".cache" / "slipway" / "wheels").expanduser()
    options = str(note["cmake"]).replace(str(SLIM), "")
    digest = hashlib.sha256(json.dumps([note["version"], note["flags"], options, recipe()]).encode()).hexdigest()[:12]
    return root / f"{sys.implementation.cache_tag}-{platform.machine()}-{digest}"


def build(cache: Path, arguments: list[str]) -> Path | None:
    """Compile the wheel into `cache` with a progress bar; None after saying what went wrong and where the log is."""
    cache.mkdir(parents=True, exist_ok=True)
    log_path = cache / "build.log"
    with tempfile.TemporaryDirectory(prefix="slipway-build-") as scratch, log_path.open("w", buffering=1) as log:
        venv, out = Path(scratch, "venv"), Path(scratch, "wheels")
        python = venv / "bin" / "python"
        environment = {**os.environ, "CMAKE_ARGS": shlex.join(arguments), "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
        environment.setdefault(
            "CMAKE_BUILD_PARALLEL_LEVEL", str(len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)
        )
        wanted = Path(scratch, "wanted.txt")
        wanted.write_text(locked_block(LOCK.read_text()))
        steps = (
            [sys.executable, "-m", "venv", str(venv)],
            pip(python, "install", "--require-hashes", "-r", str(BUILD_LOCK)),
            pip(python, "wheel", *WHEEL_OPTIONS, "-r", str(wanted), "-w", str(out)),
        )
        for step in steps:
            if not run(step, environment, log):
                print(f"\nslipway: llama.cpp could not be compiled. The log is {log_path}; its last lines:")
                print("\n".join(f"  {line[:300]}" for line in log_path.read_text(errors="replace").splitlines()[-TAIL_LINES:]))
                print("  SLIPWAY_ENGINE=onnx make up   serves on ONNX Runtime instead")
                return None
        built = next(out.glob("*.whl"))
        fresh = cache / f".{built.name}.{os.getpid()}"
        shutil.copyfile(built, fresh)
        return fresh.replace(cache / built.name)


def pip(python: Path, *arguments: str) -> list[str]:
    """The command line of the pip that belongs to `python`."""
    return [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]


def locked_block(lock: str) -> str:
    """The lines of the lock that name the package and its hashes."""
    match = re.search(rf"^{NAME}==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    return match.group(0) if match else ""


def run(step: list[str], environment: dict[str, str], log: TextIO) -> bool:
    """Run `step`, everything it says into `log`, its compile steps as progress; whether it succeeded."""
    bar = Bar(tty=sys.stdout.isatty())
    with subprocess.Popen(
        step, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            if match := re.match(r"\s*\[(\d+)/(\d+)\] ", line):
                bar.show(int(match.group(1)), int(match.group(2)))
    log.flush()
    bar.end()
    return process.returncode == 0


class Bar:
    """Progress on one line of a terminal; elsewhere a line for every tenth."""

    def __init__(self, *, tty: bool) -> None:
        self._tty = tty
        self._tenth = -1

    def show(self, done: int, total: int) -> None:
        """`done` of `total` steps are through."""
        tenth = done * 10 // max(1, total)
        if self._tty:
            filled = done * 30 // max(1, total)
            print(f"\r  compiling llama.cpp [{'#' * filled}{'.' * (30 - filled)}] {done}/{total}", end="", flush=True)
        elif tenth != self._tenth:
            print(f"  compiling llama.cpp: {done} of {total}", flush=True)
        self._tenth = tenth

    def end(self) -> None:
        """Leave the line."""
        if self._tty and self._tenth >= 0:
            print(flush=True)


def install(wheel: Path, note: Mapping[str, object]) -> int:
    """Put the wheel into this environment, and the note about its build beside the libraries."""
    uv = Path(sys.executable).parent / "uv"
    installer = [str(uv), "pip", "install", "--quiet", "--no-config", "--python", sys.executable]
    if not uv.is_file():
        installer = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    reinstall = "--reinstall" if uv.is_file() else "--force-reinstall"
    if (code := subprocess.run([*installer, "--no-deps", reinstall, str(wheel)], check=False).returncode) != 0:
        return code
    note_path().write_text(json.dumps(note, indent=1) + "\n")
    return subprocess.run([sys.executable, str(CHECK), str(note_path())], check=False).returncode


def installed_note() -> dict[str, object] | None:
    """What the installed build says about itself; None when there is none of ours."""
    try:
        importlib.metadata.version(NAME)
        return json.loads(note_path().read_text())
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
        return None


def note_path() -> Path:
    """The note lies in the folder of the libraries that it describes."""
    return Path(str(importlib.metadata.distribution(NAME).locate_file("llama_cpp"))) / "lib" / NOTE


if __name__ == "__main__":
    sys.exit(main())
