"""One inference context: a batch filled through numpy views, one decode call, and the KV memory's verbs.

Where there are cells for every slot's longest sequence, each slot has its own: attention then walks over a sequence's own cells alone (measured: a fifth less
time a step for 8 sequences of 300 tokens). Else all slots share one pool of cells. Not thread-safe: the decode thread owns it. It refuses to know requests.
"""

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway_generator.engines.llamacpp.weights import Weights
from slipway_generator.model import StartRefused

State = NDArray[np.uint8]
_NO_SLOT = 1
_NO_ADAPTER = -1


class DecodeFailed(Exception):
    """A decode call did not finish; `code` is llama.cpp's."""

    def __init__(self, code: int) -> None:
        super().__init__(f"llama_decode returned {code}")
        self.code = code


class Context:
    """`slots` sequences over `cells` KV cells; up to `rows` rows a decode call, with logits for any of them. `pooled`: no slot has cells of its own."""

    def __init__(
        self, weights: Weights, *, cells: int, rows: int, slots: int, threads: int, kv_type: str = "f16", pooled: bool = True
    ) -> None:
        api = weights.api
        parameters = api.llama_context_default_params()
        parameters.n_ctx = cells
        parameters.n_batch = parameters.n_ubatch = rows
        parameters.n_seq_max = slots
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.type_k = parameters.type_v = getattr(api, f"GGML_TYPE_{kv_type.upper()}")
        if kv_type == "f32":
            # Who asks for f32 asks for exactness, and the flash kernels round to f16 on the way.
            parameters.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.kv_unified = self.pooled = pooled
        parameters.no_perf = True
        self._api = api
        self._size = weights.size
        self._context = api.llama_init_from_model(weights.model, parameters)
        if not self._context:
            raise StartRefused(f"llama.cpp cannot make a context of {cells} tokens; lower SLIPWAY_GENERATOR_KV_TOKENS or free memory.")
        self._memory = api.llama_get_memory(self._context)
        self.cells = int(api.llama_n_ctx(self._context))
        self._tokens = np.zeros(rows, dtype=np.int32)
        self._positions = np.zeros(rows, dtype=np.int32)
        self._slots = np.zeros(rows, dtype=np.int32)
        self._wanted = np.zeros(rows, dtype=np.int8)
        self._ones = np.ones(rows, dtype=np.int32)
        # seq_id is an array of pointers, one a row, each to that row's entry in _slots.
        self._slot_pointers = (self._slots.ctypes.data + 4 * np.arange(rows, dtype=np.uint64)).astype(np.uint64)
        self._batch = self._native_batch(0)
        self._rows_apart: list[ctypes.Structure] = []
        self._gathered: NDArray[np.float32] = np.empty((0, self._size), dtype=np.float32)
        self.rows = 0
        self.outputs = 0

    def _native_batch(self, first: int) -> ctypes.Structure:
        """The batch from row `first` on."""
        batch = self._api.llama_batch()
        int32 = ctypes.POINTER(ctypes.c_int32)
        batch.token = self._tokens[first:].ctypes.data_as(int32)
        batch.embd = None
        batch.pos = self._positions[first:].ctypes.data_as(int32)
        batch.n_seq_id = self._ones[first:].ctypes.data_as(int32)
        batch.seq_id = self._slot_pointers[first:].ctypes.data_as(ctypes.POINTER(ctypes.POINTER(ctypes.c_int32)))
        batch.logits = self._wanted[first:].ctypes.data_as(ctypes.POINTER(ctypes.c_int8))
        return batch

    def compute_apart(self, rows: int) -> None:
        """From now on, batches of up to `rows` rows are computed a row at a time."""
        self._rows_apart = [self._native_batch(row) for row in range(rows)]
        self._gathered = np.empty((rows, self._size), dtype=np.float32)

    def use(self, adapter: Any) -> None:
        """Apply one LoRA adapter (None: none) to every row of the decode calls that follow."""
        if adapter is None:
            self._api.llama_set_adapters_lora(self._context, None, 0, None)
            return
        one, scale = (self._api.llama_adapter_lora_p_ctypes * 1)(adapter), (ctypes.c_float * 1)(1.0)
        if self._api.llama_set_adapters_lora(self._context, one, 1, scale):
            raise DecodeFailed(_NO_ADAPTER)

    def begin(self) -> None:
        """Empty the batch."""
        self.rows = self.outputs = 0

    def add(self, slot: int, position: int, tokens: NDArray[np.int32], *, logits: str) -> int:
        """Append rows for `tokens` of one sequence; `logits`: "last", "all" or "none". Returns the index of their first output."""
        start, end = self.rows, self.rows + len(tokens)
        self._tokens[start:end] = tokens
        self._positions[start:end] = np.arange(position, position + len(tokens), dtype=np.int32)
        self._slots[start:end] = slot
        self._wanted[start:end] = logits == "all"
        first = self.outputs
        if logits == "last":
            self._wanted[end - 1] = 1
        self.outputs += len(tokens) if logits == "all" else int(logits == "last")
        self.rows = end
        return first

    def decode(self) -> NDArray[np.float32]:
        """Run the batch; logits of the wanted rows, in their order, valid until the next call. Raises DecodeFailed. Releases the GIL."""
        if 1 < self.rows <= len(self._rows_apart):
            return self._decode_apart()
        return self._decode(self._batch, self.rows, self.outputs)

    def _decode_apart(self) -> NDArray[np.float32]:
        outputs = 0
        for row in range(self.rows):
            wanted = int(self._wanted[row])
            logits = self._decode(self._rows_apart[row], 1, wanted)
            if wanted:
                self._gathered[outputs] = logits[0]
                outputs += 1
        return self._gathered[:outputs]

    def _decode(self, batch: ctypes.Structure, rows: int, outputs: int) -> NDArray[np.float32]:
        batch.n_tokens = rows
        code = int(self._api.llama_decode(self._context, batch))
        if code != 0:
            raise DecodeFailed(code)
        if outputs == 0:
            return np.empty((0, self._size), dtype=np.float32)
        pointer = self._api.llama_get_logits(self._context)
        return np.ctypeslib.as_array(pointer, shape=(outputs, self._size))

    def share(self, source: int, target: int, length: int) -> None:
        """Let the empty `target` begin with the first `length` tokens of `source`. In a pool no cell is copied."""
        if self.pooled:
            self._api.llama_memory_seq_cp(self._memory, source, target, 0, length)
        else:
            # A partial copy between slots with cells of their own aborts the process (llama.cpp asserts), so all is copied and the rest cut off.
            self.move(source, target)
            self.cut(target, length)

    def move(self, source: int, target: int) -> None:
        """Copy all of `source` into the empty `target`, cell by cell."""
        if not self.restore(target, self.save(source)):
            raise DecodeFailed(_NO_SLOT)

    def cut(self, slot: int, length: int) -> None:
        """Forget all of `slot` from token `length` on."""
        self._api.llama_memory_seq_rm(self._memory, slot, length, -1)

    def clear(self) -> None:
        """Forget everything."""
        self._api.llama_memory_clear(self._memory, True)

    def save(self, slot: int) -> State:
        """The cells of `slot`, copied out; restoring them gives the same logits."""
        size = int(self._api.llama_state_seq_get_size(self._context, slot))
        state = np.empty(size, dtype=np.uint8)
        written = int(self._api.llama_state_seq_get_data(self._context, _bytes(state), size, slot))
        return state[:written]

    def restore(self, slot: int, state: State) -> bool:
        """Put saved cells into the empty `slot`; False when they do not fit, and the slot is empty then."""
        fits = int(self._api.llama_state_seq_set_data(self._context, _bytes(state), len(state), slot)) > 0
        if not fits:
            self.cut(slot, 0)
        return fits

    def free(self) -> None:
        """Give the memory back."""
        if self._context:
            self._api.llama_free(self._context)
            self._context = None


def _bytes(state: State) -> Any:
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
