"""Who sits where in the ONNX engine: nobody takes the place of somebody else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from slipway_generator.engine import GenerateRequest
from slipway_generator.engines.choice import open_model
from slipway_generator.engines.onnx import OnnxEngine
from slipway_generator.engines.sequence import Sequence
from slipway_generator.model import identify
from slipway_generator.settings import Settings

FOLDER = Path(__file__).parents[2] / "models" / "slipway-reader-llama" / "int4-onnx"


async def test_a_sequence_that_knows_a_place_further_back_is_not_overwritten_by_those_behind_it() -> None:
    pytest.importorskip("onnxruntime_genai", reason="onnxruntime-genai is not installed")
    settings = Settings(model=str(FOLDER), threads=1)
    opened = await open_model(identify(settings), settings, structlog.get_logger())
    assert isinstance(opened.engine, OnnxEngine)
    engine: Any = opened.engine  # its seats are its own business; this test moves them by hand
    # The thread ends first: from here on the test alone moves sequences, as many as wait at one moment on a busy machine.
    await engine.aclose()
    engine._closing = False
    engine._places = engine._open(1)
    known = tuple(range(100, 140))
    engine._places[2].native.append_tokens(np.array([known], dtype=np.int32))
    engine._places[2].held, engine._places[2].salt = np.array(known, dtype=np.int32), ("local", None)
    waiting = [_sequence(engine, (*known, 7)), *(_sequence(engine, (number, number + 1)) for number in (200, 210, 220))]
    engine._waiting = list(waiting)
    engine._seat()
    seated = [place.sequence for place in engine._places]
    assert {id(one) for one in seated} == {id(one) for one in waiting}
    assert engine._places[2].sequence is waiting[0]
    assert waiting[0].shared == len(known)
    engine._places.clear()


def _sequence(engine: Any, prompt: tuple[int, ...]) -> Sequence:
    request = GenerateRequest(id="r", prompt=prompt, max_tokens=2)
    return Sequence(request, engine._vocabulary, lambda _sequence, _item: None)
