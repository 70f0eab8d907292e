import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway_shared.dialect import sse
from slipway_shared.dialect.sse import FrameReader, FrameTooLargeError


@given(st.lists(st.text(min_size=1, max_size=20), max_size=8), st.data())
def test_frames_cut_at_any_byte_come_back_whole(texts: list[str], data: st.DataObject) -> None:
    stream = b"".join(sse.frame({"t": text}) for text in texts) + sse.KEEPALIVE + sse.DONE
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader = FrameReader()
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    payloads = [payload for piece in pieces for payload in reader.feed(piece)]
    assert payloads[-1] == b"[DONE]"
    assert [orjson.loads(p)["t"] for p in payloads[:-1]] == texts


@given(st.lists(st.integers(0, 60), max_size=6))
def test_line_ends_of_another_kind_cut_anywhere_come_back_too(cuts: list[int]) -> None:
    stream = b'data: {"a":1}\r\n\r\ndata: {"b":2}\r\n\r\n'
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = FrameReader()
    assert [p for a, b in itertools.pairwise(edges) for p in reader.feed(stream[a:b])] == [b'{"a":1}', b'{"b":2}']


def test_an_endless_frame_is_an_error_not_memory() -> None:
    reader = FrameReader()
    with pytest.raises(FrameTooLargeError):
        list(reader.feed(b"data: " + b"x" * (sse.MAX_FRAME_BYTES + 1)))
