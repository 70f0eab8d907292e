"""Whether the installed llama.cpp may lay weights out anew for this processor's own kernels: `python deploy/llamacpp_check.py NOTE`.

It decodes with a small quantized model in a process of its own, with such kernels and without, and writes into the build's note (slipway-build.json, beside the
libraries) whether the two agree. A compiler's mistake in them then costs speed and no process: see decision 0002. It refuses to know what is served.
"""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODEL = Path(__file__).resolve().parents[1] / "models" / "slipway-reader-llama" / "int8" / "model.gguf"
ROWS = 48
"""More than AMX's tiles of 16 rows."""
LEAST_COSINE = 0.99
"""Both ways round activations to int8, in another order; a kernel that computes something else is far below (random logits: about 0)."""
SECONDS = 120


def main() -> int:
    """Decode in a child, then write the verdict; 0 unless the note cannot be written."""
    path = Path(sys.argv[1])
    note: dict[str, Any] = json.loads(path.read_text())
    note["repack"] = not uses_amx(note) or agrees()
    path.write_text(json.dumps(note, indent=1) + "\n")
    if not note["repack"]:
        sys.stdout.write("slipway: llama.cpp's AMX kernels do not work as compiled here; its other kernels will serve\n")
    return 0


def uses_amx(note: dict[str, Any]) -> bool:
    """Other layouts have been in every build and need no check."""
    return any(str(flag).startswith("amx") for flag in note.get("flags", ()))


def agrees() -> bool:
    """Whether a child that may die decodes with and without the kernels and finds them alike."""
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import llamacpp_check as c; c.compare()",
    ]
    try:
        return subprocess.run(command, timeout=SECONDS, capture_output=True, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def compare() -> None:
    """The child: ends with status 1 where the logits differ, and with a signal where the kernels die."""
    with_them, without = logits(repack=True), logits(repack=False)
    cosine = float(with_them @ without / (np.linalg.norm(with_them) * np.linalg.norm(without)))
    raise SystemExit(int(not cosine >= LEAST_COSINE))


def logits(*, repack: bool) -> NDArray[np.float32]:
    """Of the last of ROWS tokens."""
    api: Any = importlib.import_module("llama_cpp.llama_cpp")
    api.llama_backend_init()
    model_parameters, parameters = api.llama_model_default_params(), api.llama_context_default_params()
    model_parameters.use_extra_bufts, model_parameters.n_gpu_layers = repack, 0
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 2 * ROWS
    parameters.n_threads = parameters.n_threads_batch = 1
    model = api.llama_model_load_from_file(str(MODEL).encode(), model_parameters)
    context = api.llama_init_from_model(model, parameters)
    size = api.llama_vocab_n_tokens(api.llama_model_get_vocab(model))
    tokens = (api.llama_token * ROWS)(*(7 * at % size for at in range(ROWS)))
    if api.llama_decode(context, api.llama_batch_get_one(tokens, ROWS)):
        raise SystemExit(2)
    return np.ctypeslib.as_array(api.llama_get_logits_ith(context, -1), shape=(size,)).copy()


if __name__ == "__main__":
    sys.exit(main())
