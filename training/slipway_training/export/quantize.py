"""GGUF f16 to smaller GGUFs through llama.cpp's own quantizer.

It knows which quantization a flavor name means. It refuses to judge the result: that is `parity` and the evaluation.
"""

import ctypes
from pathlib import Path
from typing import Literal

from slipway_training.errors import ExportError, StackMissing
from slipway_training.quiet import silence_llama_cpp

Quant = Literal["q8_0", "q4_0", "q4_k_m"]


def quantize_gguf(source: Path, target: Path, quant: Quant) -> None:
    """Write `source` (f16) as `quant` to `target`; raises ExportError when llama.cpp refuses."""
    try:
        import llama_cpp
    except ImportError as error:
        raise StackMissing("llama-cpp-python") from error
    kinds = {
        "q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
        "q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
        "q4_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    }
    silence_llama_cpp()
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = kinds[quant]
    parameters.nthread = 1
    target.parent.mkdir(parents=True, exist_ok=True)
    code = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.pointer(parameters))
    if code != 0 or not target.is_file():
        raise ExportError(f"llama.cpp did not quantize {source.name} to {quant} (code {code})")
