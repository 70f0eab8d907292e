"""Frames that go from the model's connection to the caller's in one go: the same bytes, the same counts and the same ends as on the way that all can go."""

import asyncio
import itertools
import json
import random
from typing import Any

import pytest
from slipway_gateway import coalesce
from slipway_gateway.account import Account
from slipway_gateway.frames import Cutter
from slipway_gateway.pour import Pour
from slipway_shared.dialect import sse

ASKED = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "stream": True, "stream_options": {"include_usage": True}}


def frame(content: str, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    return b"data: " + json.dumps({"id": "x", "choices": [choice], **more}, separators=(",", ":")).encode() + b"\n\n"


PLAIN = [frame("a", usage=None), frame("b"), frame('"usage"', usage=None), frame("c" * 5000)]
SPECIAL = [
    b"data: [DONE]\n\n",
    b": a comment\n\n",
    b'event: error\ndata: {"error":{}}\n\n',
    b'data: {"error":{"message":"x"}}\n\n',
    b"data: {broken\n\n",
    b'data: {"a":1}\r\n\r\n',
    b'data: {"a":\ndata: 1}\n\n',
    frame("", usage={"prompt_tokens": 1}),
    b"garbage\n\n",
]


class Caller:
    """What reached the caller; refuses while it is `slow`."""

    def __init__(self, room: int = 100) -> None:
        self.seen = b""
        self.slow = False
        self.account = Account("m", 1)
        self.account.granted_answer = room
        self.account.asked()
        self.pour = Pour(self.take, self.account)

    def take(self, piece: bytes) -> bool:
        if not self.slow:
            self.seen += piece
        return not self.slow


@pytest.mark.parametrize("special", SPECIAL)
def test_plain_frames_are_taken_and_what_comes_after_the_first_other_one_is_given_back(special: bytes) -> None:
    for before in (PLAIN, PLAIN[:1], []):
        caller, cutter = Caller(), Cutter()
        assert caller.pour(cutter, b"".join(before) + special + PLAIN[0]) == special + PLAIN[0]
        assert (caller.seen, caller.account.used, cutter.rest) == (b"".join(before), (1, len(before)), b"")


def test_frames_cut_at_any_byte_are_taken_whole() -> None:
    raw = b"".join(PLAIN)
    for at in range(1, len(raw) - 1, 7):
        caller, cutter = Caller(), Cutter()
        assert caller.pour(cutter, raw[:at]) == caller.pour(cutter, raw[at:]) == b""
        assert (caller.seen, caller.account.used, cutter.rest) == (raw, (1, len(PLAIN)), b"")


def test_a_caller_who_is_slow_or_has_no_room_gets_nothing_and_nothing_is_lost() -> None:
    for caller in (Caller(), Caller(room=1)):
        caller.slow, cutter = caller.account.room > 1, Cutter()
        assert caller.pour(cutter, PLAIN[0][:9]) == b""
        assert caller.pour(cutter, PLAIN[0][9:] + PLAIN[1]) == PLAIN[0] + PLAIN[1]
        assert (caller.seen, caller.account.used, cutter.rest) == (b"", (1, 0), b"")


def test_a_frame_without_an_end_is_given_back() -> None:
    caller, cutter = Caller(), Cutter()
    endless = b"data: {" + b"x" * sse.MAX_FRAME_BYTES
    assert caller.pour(cutter, endless) == endless and cutter.rest == b""


@pytest.mark.parametrize("ticking", [True, False])
async def test_many_streams_are_relayed_byte_for_byte_and_counted(start: Any, monkeypatch: pytest.MonkeyPatch, ticking: bool) -> None:
    monkeypatch.setattr(coalesce, "WINDOW_SECONDS", 0.0)
    monkeypatch.setattr(coalesce, "BUSY", 0.0 if ticking else 1e9)
    monkeypatch.setattr(coalesce, "QUIET", 0.0)
    async with start(safety_url=None, tick_seconds=0.005) as platform:
        platform.generator.text = " ".join(f"wörd{n}" for n in range(60))
        frames = platform.generator.frames(usage=True)
        script = [*frames[:7], b": the model is alive\n\n", *frames[7:]]
        chance = random.Random(3)

        async def paced(request: Any) -> Any:
            if request.method == "GET":
                return await platform.generator.handle(request)
            from aiohttp import web

            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            raw = b"".join(script)
            cuts = [0, *sorted(chance.sample(range(len(raw)), 60)), len(raw)]
            for a, b in itertools.pairwise(cuts):
                await response.write(raw[a:b])
                await asyncio.sleep(0.002)
            return response

        platform.generator.intercept = paced
        answers = await asyncio.gather(*(platform.stream(stream_options={"include_usage": True}) for _ in range(24)))
        for raw in answers:
            assert b"".join(e + b"\n\n" for e in raw.split(b"\n\n")[:-1] if not e.startswith(b":")) == b"".join(frames)
        async with platform.client.get("/metrics") as response:
            metrics = (await response.read()).decode()
        used = platform.generator.usage()
        assert f'slipway_tokens_total{{direction="output",model="chat"}} {24.0 * used["completion_tokens"]}' in metrics


@pytest.mark.parametrize("kind", ["abort", "error", "end"])
async def test_a_cut_while_frames_are_poured_is_an_error_event(start: Any, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(coalesce, "WINDOW_SECONDS", 0.0)
    monkeypatch.setattr(coalesce, "BUSY", 0.0)
    monkeypatch.setattr(coalesce, "FEWEST", 0)
    async with start(safety_url=None) as platform:
        platform.generator.text = " ".join(f"word{n}" for n in range(40))
        platform.generator.hold, platform.generator.cut_after, platform.generator.cut_kind = 4, 30, kind
        asyncio.get_running_loop().call_later(0.1, platform.generator.go.set)
        raw = await platform.stream()
        assert b"word0" in raw and b"word20" in raw and b"[DONE]" not in raw
        assert raw.strip().split(b"\n\n")[-1].startswith(b"event: error\ndata: ")
