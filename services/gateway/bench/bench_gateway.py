"""What a gateway costs: CPU per request and per frame, added latency, streams without a stall, cold start, memory. Ours beside others, in interleaved rounds.

    python services/gateway/bench/bench_gateway.py --rounds 9 [--peers FOLDER] [--nginx BINARY] [--redis URL] [--soak 100000] [--out FOLDER]

`--peers` installs LiteLLM 1.93.0 and Portkey 1.15.2 into FOLDER, where they are not there yet, and measures them beside; nginx joins where it is on the path.
The gateway has one core for itself; the mock (compiled C) and the load have another. The first figure is CPU time (user and system, of all of a contender's
processes): wall time on a shared machine measures the neighbours. Every body is held against the mock's, byte for byte; a peer that writes answers anew is
compared by its text, and the table says so.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import canned
import entrants as who
import report
import uvloop
from entrants import Contender
from load import Answer, Connection, closed_loop, request, together
from rich.progress import Progress

WORDS = 62
PACE_SECONDS = 0.02
STALL = 10
"""A gap of so many paces is a stall."""
LEVELS = (1, 4, 16, 32, 64, 128, 192, 256, 384, 512)
ASKED: dict[str, object] = {"model": "bench", "messages": [{"role": "user", "content": "Say something about foxes."}], "max_tokens": 64}
STREAM: dict[str, object] = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
PACED: dict[str, object] = {**STREAM, "max_tokens": 65}


class WrongAnswer(Exception):
    """A contender's answer is not the mock's."""


def check(to: Contender, answers: list[Answer], *, stream: bool) -> None:
    """Every answer is whole and the mock's; notes the share that is so byte for byte (comments of a stream apart). Raises WrongAnswer."""
    expected = b"".join(canned.frames(WORDS)) if stream else canned.completion()
    same = 0
    for answer in answers:
        body = _without_comments(answer.body) if stream else answer.body
        if answer.status == 200 and body == expected:
            same += 1
        elif answer.status != 200 or to.ours or text_of(body, stream=stream) != text_of(expected, stream=stream):
            raise WrongAnswer(f"{to.name} answered wrongly: {answer.status} {answer.body[:300]!r}")
    to.note("stream bytes identical %" if stream else "bytes identical %", 100 * same / len(answers))


def _without_comments(body: bytes) -> bytes:
    return b"".join(event + b"\n\n" for event in body.split(b"\n\n")[:-1] if not event.startswith(b":"))


def text_of(raw: bytes, *, stream: bool) -> str:
    """What the answer says; raises ValueError or KeyError where it says nothing."""
    if not stream:
        return json.loads(raw)["choices"][0]["message"]["content"]
    events = [json.loads(e[5:]) for e in raw.decode().split("\n\n") if e.startswith("data:") and not e.startswith("data: [DONE]")]
    return "".join((c.get("delta") or {}).get("content") or "" for e in events for c in e["choices"])


async def wait_ready(to: Contender, begun: float) -> None:
    """Until the first 200; notes what the start took."""
    asked = request(ASKED, to.headers)
    while time.monotonic() - begun < 300:
        with contextlib.suppress(OSError):
            connection = Connection(to.port)
            answer = await connection.ask(asked)
            connection.close()
            if answer.status == 200:
                to.note("cold start s", time.monotonic() - begun)
                to.note("cold start CPU s", to.cpu())
                return
        await asyncio.sleep(0.02)
    raise SystemExit(f"{to.name} did not start: {' '.join(to.command)}")


async def measure(to: Contender, requests: int, streams: int) -> None:
    """One round."""
    before, begun = to.cpu(), time.perf_counter()
    answers, _ = await closed_loop(to.port, request(ASKED, to.headers), requests, 32)
    to.note("requests/s c32", requests / (time.perf_counter() - begun))
    to.note("CPU us per request", (to.cpu() - before) / requests * 1e6)
    check(to, answers, stream=False)
    answers, latencies = await closed_loop(to.port, request(ASKED, to.headers), max(20, requests // 10), 1)
    check(to, answers, stream=False)
    to.note("c1 p50 us", report.quantile(latencies, 0.5) * 1e6)
    to.note("c1 p99 us", report.quantile(latencies, 0.99) * 1e6)
    before = to.cpu()
    answers = await together(to.port, request(PACED, to.headers), streams, PACE_SECONDS)
    used = to.cpu() - before
    try:
        check(to, answers, stream=True)
    except (WrongAnswer, ValueError, KeyError) as error:
        if to.ours:
            raise
        # A peer that cannot relay the mock's streams has no figure here, and the table says why.
        to.notes[:] = [f"streams failed: {error}"[:200]]
        return
    to.note("CPU us per paced frame", used / (streams * len(canned.frames(WORDS))) * 1e6)
    to.note("first frame p50 ms", report.quantile([a.times[0] for a in answers], 0.5) * 1e3)


async def stall_free(to: Contender) -> int:
    """The most streams at once of which none stalls, breaks, or differs; each level has three tries, because neighbours stall a machine as well."""
    best = 0
    for level in LEVELS:
        for _ in range(3):
            answers = await together(to.port, request(PACED, to.headers), level, 0.5)
            with contextlib.suppress(WrongAnswer, ValueError, KeyError):
                check(to, answers, stream=True)
                if max(a.longest_gap for a in answers) <= STALL * PACE_SECONDS:
                    best = level
                    break
        if best != level:
            break
    return best


async def soak(to: Contender, requests: int, show: Progress) -> None:
    """Memory over many requests, one in forty a paced stream: at the start, at half, and at the end."""
    task, step = show.add_task(f"{to.name}: {requests} requests", total=requests), 2000
    to.note("RSS MB at the start", to.rss_mb())
    for done in range(0, requests, step):
        if done >= requests // 2 and "RSS MB at half" not in to.figures:
            to.note("RSS MB at half", to.rss_mb())
        answers, _ = await closed_loop(to.port, request(ASKED, to.headers), step - step // 40, 32)
        check(to, answers, stream=False)
        check(to, await together(to.port, request(PACED, to.headers), step // 40, 0.1), stream=True)
        show.advance(task, step)
    to.note("RSS MB at the end", to.rss_mb())
    to.note("growth MB in the last half", to.figures["RSS MB at the end"][-1] - to.figures["RSS MB at half"][-1])


def lineup(options: argparse.Namespace, upstream: int, folder: Path) -> list[Contender]:
    """Direct first, then ours, then the others."""
    out = [Contender("direct", [], upstream), who.ours("slipway", upstream, free_port(), folder, safety=False, redis=options.redis)]
    out.append(who.ours("slipway + safety", upstream, free_port(), folder, safety=True, redis=options.redis))
    if binary := options.nginx or shutil.which("nginx"):
        out.append(who.nginx(str(Path(binary).resolve()), upstream, free_port(), folder))
    if options.peers:
        who.install_peers(options.peers)
        out.append(who.litellm(options.peers / "litellm", upstream, free_port(), folder))
        out.append(who.portkey(options.peers / "portkey", upstream, free_port()))
    return out


async def run(options: argparse.Namespace, running: list[Contender], show: Progress) -> None:
    """All measurements, in order; `running` takes the figures."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    for one in running:
        begun = time.monotonic()
        one.start(cores[0])
        await wait_ready(one, begun)
        await measure(one, 200, 8)  # warm-up, thrown away
        one.figures = {name: values for name, values in one.figures.items() if name.startswith("cold")}
    task = show.add_task("rounds", total=options.rounds * len(running))
    for _ in range(options.rounds):
        for one in running:
            await measure(one, options.requests, options.streams)
            show.advance(task)
    task = show.add_task("streams without a stall", total=len(running))
    for one in running:
        if not one.notes:
            one.note("stall-free streams", await stall_free(one))
        one.note("RSS MB", one.rss_mb())
        show.advance(task)
    for one in running:
        if options.soak and one.name == "slipway + safety":
            await soak(one, options.soak, show)


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def main(options: argparse.Namespace) -> dict[str, Any]:
    """Runs everything, prints the table, and writes gateway.json, gateway.md and gateway.svg."""
    with tempfile.TemporaryDirectory() as name:
        folder, upstream = Path(name), free_port()
        command = canned.mock(folder, upstream, WORDS, PACE_SECONDS)
        last = max(os.sched_getaffinity(0))
        mock = subprocess.Popen(["taskset", "-c", str(last), *command])
        running = lineup(options, upstream, folder)
        try:
            with Progress() as show:
                uvloop.run(run(options, running, show))
        finally:
            for one in running:
                one.stop()
            mock.kill()
            mock.wait()
    results = {one.name: {"figures": one.figures, "notes": one.notes} for one in running}
    report.write(results, options.out)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds (9)")
    parser.add_argument("--requests", type=int, default=400, help="requests of one contender in a round (400)")
    parser.add_argument("--streams", type=int, default=32, help="paced streams at once in a round (32)")
    parser.add_argument("--peers", type=Path, help="a throw-away folder that LiteLLM and Portkey are installed in, and measured from")
    parser.add_argument("--nginx", help="the binary of nginx, where it is not on the path")
    parser.add_argument("--soak", type=int, default=0, help="so many requests more to ours, to see whether its memory grows (100000)")
    parser.add_argument("--redis", default="", help="ours counts limits in this Redis (redis://...), instead of in its own memory")
    parser.add_argument("--out", type=Path, default=Path(".slipway/bench"), help="folder of the report (.slipway/bench)")
    main(parser.parse_args())
