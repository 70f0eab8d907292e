"""onnxruntime-genai's C interface. Its Python binding holds the interpreter's lock while a model computes (a prompt of 600 tokens: 0.6 s in which nothing else
of the service runs); calls through ctypes give it up.

The functions are those of ort_genai_c.h, which the package's own binding is built on. It refuses to know models and requests.
"""

import ctypes
import functools
import importlib
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway_generator.model import StartRefused

_FLOAT32 = 1
"""OgaElementType_float32."""
_HANDLE, _OUT = ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)
_SIZES = ctypes.POINTER(ctypes.c_int64)
_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "OgaCreateConfig": (ctypes.c_char_p, _OUT),
    "OgaConfigOverlay": (_HANDLE, ctypes.c_char_p),
    "OgaCreateModelFromConfig": (_HANDLE, _OUT),
    "OgaCreateGeneratorParams": (_HANDLE, _OUT),
    "OgaGeneratorParamsSetSearchNumber": (_HANDLE, ctypes.c_char_p, ctypes.c_double),
    "OgaGeneratorParamsSetSearchBool": (_HANDLE, ctypes.c_char_p, ctypes.c_bool),
    "OgaCreateGenerator": (_HANDLE, _HANDLE, _OUT),
    "OgaGenerator_AppendTokens": (_HANDLE, ctypes.c_void_p, ctypes.c_size_t),
    "OgaGenerator_GenerateNextToken": (_HANDLE,),
    "OgaGenerator_RewindTo": (_HANDLE, ctypes.c_size_t),
    "OgaGenerator_GetLogits": (_HANDLE, _OUT),
    "OgaGenerator_SetLogits": (_HANDLE, _HANDLE),
    "OgaCreateTensorFromBuffer": (ctypes.c_void_p, _SIZES, ctypes.c_size_t, ctypes.c_int, _OUT),
    "OgaTensorGetShapeRank": (_HANDLE, ctypes.POINTER(ctypes.c_size_t)),
    "OgaTensorGetShape": (_HANDLE, _SIZES, ctypes.c_size_t),
    "OgaTensorGetData": (_HANDLE, _OUT),
}
"""Every function returns NULL, or a result that holds an error's message."""
_DESTROY = {"Config", "Model", "GeneratorParams", "Generator", "Tensor", "Result"}


class GenAi:
    """The loaded library: `call` checks, `make` owns what it makes."""

    def __init__(self, path: Path) -> None:
        self._api: Any = ctypes.CDLL(str(path))
        for name, arguments in _ARGUMENTS.items():
            function = getattr(self._api, name)
            function.argtypes, function.restype = arguments, ctypes.c_void_p
        for kind in _DESTROY:
            destroy = getattr(self._api, f"OgaDestroy{kind}")
            destroy.argtypes, destroy.restype = (ctypes.c_void_p,), None
        self._api.OgaResultGetError.argtypes, self._api.OgaResultGetError.restype = (ctypes.c_void_p,), ctypes.c_char_p

    def call(self, name: str, *arguments: Any) -> None:
        """Raises RuntimeError with the library's message."""
        result = getattr(self._api, name)(*arguments)
        if result:
            message = self._api.OgaResultGetError(result).decode(errors="replace")
            self._api.OgaDestroyResult(result)
            raise RuntimeError(message)

    def make(self, kind: str, name: str, *arguments: Any) -> "Handle":
        """What the function makes; freed with the handle."""
        pointer = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(pointer))
        return Handle(pointer, getattr(self._api, f"OgaDestroy{kind}"))


class Handle:
    """An object of the library."""

    def __init__(self, pointer: ctypes.c_void_p, destroy: Any) -> None:
        self._as_parameter_ = pointer
        self.free = weakref.finalize(self, destroy, pointer)


class Generator:
    """A KV cache of `rows` rows and the search over it. RuntimeError where the library refuses."""

    def __init__(self, library: GenAi, model: Handle, options: dict[str, float | bool]) -> None:
        parameters = library.make("GeneratorParams", "OgaCreateGeneratorParams", model)
        for name, value in options.items():
            setter = "OgaGeneratorParamsSetSearchBool" if isinstance(value, bool) else "OgaGeneratorParamsSetSearchNumber"
            library.call(setter, parameters, name.encode(), value)
        self._library = library
        self._handle = library.make("Generator", "OgaCreateGenerator", model, parameters)
        self._read: Handle | None = None
        self._peaks: NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)
        self._chosen: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def append(self, tokens: NDArray[np.int32]) -> None:
        """Read tokens, [rows, any] or, of one row, [any]; of several rows only once after a rewind to 0."""
        flat = np.ascontiguousarray(tokens, dtype=np.int32).reshape(-1)
        self._library.call("OgaGenerator_AppendTokens", self._handle, flat.ctypes.data, flat.size)

    def append_each(self, tokens: NDArray[np.int64]) -> None:
        """One more token for each of several rows. The library wants to pick it itself: it is shown logits of which that token is the peak."""
        if not self._peaks.size:
            self._peaks = np.zeros_like(self.logits())
            self._chosen = np.zeros_like(tokens)
        rows = np.arange(len(tokens))
        self._peaks[rows, self._chosen] = 0.0
        self._peaks[rows, tokens] = 1.0
        self._chosen = tokens.copy()
        shape = (ctypes.c_int64 * 3)(len(tokens), 1, self._peaks.shape[1])
        tensor = self._library.make("Tensor", "OgaCreateTensorFromBuffer", self._peaks.ctypes.data, shape, 3, _FLOAT32)
        self._library.call("OgaGenerator_SetLogits", self._handle, tensor)
        tensor.free()
        self._library.call("OgaGenerator_GenerateNextToken", self._handle)

    def logits(self) -> NDArray[np.float32]:
        """[rows, vocabulary] after the last token of each row, valid until the next call."""
        library = self._library
        self._read = library.make("Tensor", "OgaGenerator_GetLogits", self._handle)
        rank, data = ctypes.c_size_t(), ctypes.c_void_p()
        library.call("OgaTensorGetShapeRank", self._read, ctypes.byref(rank))
        shape = (ctypes.c_int64 * rank.value)()
        library.call("OgaTensorGetShape", self._read, shape, rank)
        library.call("OgaTensorGetData", self._read, ctypes.byref(data))
        values = np.ctypeslib.as_array(ctypes.cast(data, ctypes.POINTER(ctypes.c_float)), shape=tuple(shape))
        return values.reshape(shape[0], shape[rank.value - 1])

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens; of several rows, all (0)."""
        self._library.call("OgaGenerator_RewindTo", self._handle, length)


@functools.cache
def load_library() -> GenAi:
    """Once a process; StartRefused where the package is missing."""
    try:
        # The package's own loading first: it finds onnxruntime's library.
        package = importlib.import_module("onnxruntime_genai")
    except ImportError as error:
        raise StartRefused("onnxruntime-genai is not installed; install slipway-generator[onnx].") from error
    found = sorted(Path(str(package.__file__)).parent.glob("*onnxruntime-genai.*"))
    if not found:
        raise StartRefused("onnxruntime-genai was installed without its library; install it anew.")
    return GenAi(found[0])
