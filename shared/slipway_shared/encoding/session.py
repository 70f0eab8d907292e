"""An encoder's graph behind one verb, on ONNX Runtime or on OpenVINO.

It knows how either engine is told threads and precision. It refuses to know tokens and what an output means.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slipway_shared.encoding import signal_stack
from slipway_shared.encoding.choice import Choice, EngineName, choose

Ids = NDArray[np.int64]
"""[rows, tokens]"""
Floats = NDArray[np.float32]
SMALL_PASS = 64
"""Padded tokens of a small pass on ONNX Runtime: a single query, or some short rows."""


class Session(Protocol):
    """A loaded graph with one output; `run` is never called from two threads at once."""

    @property
    def choice(self) -> Choice:
        """What computes, and why."""
        ...

    def run(self, feeds: Mapping[str, Ids]) -> Floats:
        """The output for inputs by their names, as an array of its own."""
        ...


def open_graph(path: Path, threads: int = 1) -> Any:
    """An onnxruntime.InferenceSession on the CPU as all services open theirs, so that what is measured elsewhere is what is served."""
    import onnxruntime

    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads burn the core that the event loop and the other services need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # On x86-64 without VNNI (AVX2 alone: most laptops) the kernels for signed int8 weights cut sums off at 16 bits; with this entry, which other processors do not
    # heed, weights become unsigned as they are loaded, and their kernels do not: least cosine to fp32 of 48 passages 0.981 -> 0.989 (by hand).
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    # The fused SkipLayerNormalization is a scalar loop on CPUs (onnxruntime 1.32): an addition and the vectorised LayerNormalization take a fifth of its
    # time, which makes the whole forward pass a quarter faster.
    apart = ["SkipLayerNormFusion"]
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=apart)


def open_session(path: Path, asked: EngineName, threads: int, *, small: Callable[[], Path] | None = None) -> Session:
    """`path` on the engine that `asked` leads to; raises EngineMissing. A graph that OpenVINO cannot be given stays on ONNX Runtime unless it was asked for.

    `small` gives another graph for passes of at most SMALL_PASS tokens (single queries), and is asked for it only where ONNX Runtime computes: in bf16 a query of 20
    tokens is as near to fp32 as int8 by blocks and takes 2.1 ms instead of 3.5 (one thread of a Xeon with AMX, by hand).
    """
    large = _open_large(path, asked, threads, choose(asked))
    return large if small is None or large.choice.engine == "openvino" else BySize(OnnxSession(small(), threads, large.choice), large)


def _open_large(path: Path, asked: EngineName, threads: int, choice: Choice) -> Session:
    if choice.engine == "onnxruntime":
        return RowsApart(OnnxSession(path, threads, choice))
    from slipway_shared.encoding.float_graph import OtherGraph

    try:
        return OpenVinoSession(path, threads, choice)
    except OtherGraph as error:
        if asked == "openvino":
            raise
        return RowsApart(OnnxSession(path, threads, Choice("onnxruntime", False, str(error))))


class OnnxSession:
    """ONNX Runtime on the CPU, without spinning threads."""

    def __init__(self, path: Path, threads: int, choice: Choice) -> None:
        self.choice = choice
        self._session: Any = open_graph(path, threads)

    def run(self, feeds: Mapping[str, Ids]) -> Floats:
        """See Session."""
        return self._session.run(None, dict(feeds))[0]


class RowsApart:
    """Passes of one row, or of some short ones of SMALL_PASS tokens in all, in place of one large pass; rows lose their own padding.

    `quantize_dynamic` rounds the activations of a whole pass by one scale, so every row is rounded as its worst neighbour asks: of 160 passages in passes of 16 the mean
    cosine to fp32 was 0.9943, one by one 0.9965. And the activations of one row stay in the processor's cache: 160 tokens took 10.3 ms instead of 17.3, 20 tokens the
    same (one thread, by hand). What a row gives no longer depends on what it was batched with.
    """

    def __init__(self, session: Session) -> None:
        self.choice = session.choice
        self._session = session

    def run(self, feeds: Mapping[str, Ids]) -> Floats:
        """See Session; `feeds` hold `attention_mask`, with padding at the right."""
        lengths = feeds["attention_mask"].sum(axis=1).tolist()
        parts = [
            self._session.run({name: ids[start:end, : max(lengths[start:end])] for name, ids in feeds.items()})
            for start, end in passes(lengths)
        ]
        return np.concatenate(parts)


def passes(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """From where to where rows of so many tokens are computed together: as many neighbours as fit into SMALL_PASS padded tokens, at least one."""
    out: list[tuple[int, int]] = []
    longest = 0
    for row, length in enumerate(lengths):
        longest = max(longest, length)
        if out and longest * (row + 1 - out[-1][0]) <= SMALL_PASS:
            out[-1] = (out[-1][0], row + 1)
        else:
            out.append((row, row + 1))
            longest = length
    return out


class OpenVinoSession:
    """OpenVINO on the CPU: the graph's int8 weights in floating point, in bf16 where the choice says so."""

    def __init__(self, path: Path, threads: int, choice: Choice) -> None:
        import onnx
        import openvino

        from slipway_shared.encoding.float_graph import in_floats

        self.choice = choice
        core: Any = openvino.Core()
        model = core.read_model(in_floats(onnx.load(str(path))).SerializeToString())
        told = {
            "INFERENCE_PRECISION_HINT": "bf16" if choice.bf16 else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Pinned threads wait for their own core while another one is free.
            "ENABLE_CPU_PINNING": False,
        }
        with signal_stack.kept():
            self._request: Any = core.compile_model(model, "CPU", told).create_infer_request()

    def run(self, feeds: Mapping[str, Ids]) -> Floats:
        """See Session."""
        with signal_stack.kept():
            self._request.infer({name: padded(ids) for name, ids in feeds.items()}, share_inputs=True)
        return np.array(self._request.get_output_tensor(0).data, dtype=np.float32)


def padded(ids: Ids) -> Ids:
    """`ids` with zeros behind, up to a width that is used often: every new shape costs OpenVINO 10 to 20 ms of compilation and 2 MB that stay (measured).

    Widths go up in steps of 4 to 32 tokens, of 8 to 128, then of 16. Zeros must be padding to the graph: no token, no attention.
    """
    missing = -ids.shape[1] % step(ids.shape[1])
    return np.pad(ids, ((0, 0), (0, missing))) if missing else ids


def step(width: int) -> int:
    """Of which number a padded width near `width` is a multiple."""
    return 4 if width <= 32 else 8 if width <= 128 else 16


def warm(session: Session, names: Sequence[str], shapes: Sequence[tuple[int, int]], seconds: float) -> int:
    """Compute passes of `shapes` (rows, tokens), so that no caller pays for their compilation, until all are done or `seconds` are over; how many were done.

    An engine that compiles no shapes gets the first alone, which fills its tables.
    """
    until = time.monotonic() + seconds
    wanted = shapes if session.choice.engine == "openvino" else shapes[:1]
    for done, shape in enumerate(wanted):
        if time.monotonic() > until:
            return done
        session.run({name: np.ones(shape, dtype=np.int64) for name in names})
    return len(wanted)


class BySize:
    """Small passes on one session, all others on the other; both hold the same network."""

    def __init__(self, small: Session, large: Session) -> None:
        self.choice = large.choice
        self._small, self._large = small, large

    def run(self, feeds: Mapping[str, Ids]) -> Floats:
        """See Session."""
        tokens = next(iter(feeds.values())).size
        return (self._small if tokens <= SMALL_PASS else self._large).run(feeds)
