# ruff: noqa: T201
"""What a gateway costs: CPU per request and per frame, added latency, cold start, memory. Ours beside others, in interleaved rounds.

    python services/gateway/bench/bench_gateway.py --rounds 9 [--litellm VENV] [--portkey FOLDER] [--json OUT]

`--litellm` names a throw-away venv with litellm[proxy] 1.93.0, `--portkey` a folder in which `npm install @portkey-ai/gateway@1.15.2` was run.
The first figure is CPU time (utime + stime of all of a contender's processes): wall time on a shared machine measures the neighbours.
Every body is held against the mock's; a gateway that rewrites an answer is compared by its text.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

HERE = Path(__file__).parent
KEY = "sk-bench-0123456789abcdef"
ASKED = {"model": "bench", "messages": [{"role": "user", "content": "Say something about foxes."}], "max_tokens": 64}
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Contender:
    """One gateway: how it is started, and what was measured."""

    name: str
    command: list[str]
    port: int
    environ: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=lambda: {"authorization": f"Bearer {KEY}"})
    process: subprocess.Popen[bytes] | None = None
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        self.figures.setdefault(name, []).append(value)

    async def start(self) -> None:
        begun = time.monotonic()
        self.process = subprocess.Popen(  # noqa: ASYNC220 -- nothing else runs meanwhile
            self.command, env={**os.environ, **self.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        async with aiohttp.ClientSession() as client:
            while time.monotonic() - begun < 300:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    if (await ask(client, self, stream=False))[0] == 200:
                        self.note("cold start s", time.monotonic() - begun)
                        self.note("cold start CPU s", self.cpu())
                        return
                await asyncio.sleep(0.05)
        raise SystemExit(f"{self.name} did not start: {' '.join(self.command)}")

    def pids(self) -> list[int]:
        assert self.process is not None
        out = [self.process.pid]
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(stat.read_text().rsplit(")", 1)[1].split()[1]) in out:
                    out.append(int(stat.parent.name))
        return out

    def cpu(self) -> float:
        """Seconds of user and system time of all its processes."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def rss_mb(self) -> float:
        pages = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class WrongAnswer(Exception):
    """A contender's answer is not the mock's."""


async def ask(client: aiohttp.ClientSession, to: Contender, *, stream: bool) -> tuple[int, bytes]:
    body = {**ASKED, "stream": True, "stream_options": {"include_usage": True}} if stream else ASKED
    async with client.post(f"http://127.0.0.1:{to.port}/v1/chat/completions", json=body, headers=to.headers) as response:
        return response.status, await response.read()


def text_of(raw: bytes, *, stream: bool) -> str:
    if not stream:
        return json.loads(raw)["choices"][0]["message"]["content"]
    frames = [json.loads(f[5:]) for f in raw.decode().split("\n\n") if f.startswith("data:") and not f.startswith("data: [DONE]")]
    return "".join((c.get("delta") or {}).get("content") or "" for f in frames for c in f["choices"])


async def load(to: Contender, count: int, concurrency: int, *, stream: bool, expected: str) -> list[float]:
    """`count` requests by `concurrency` callers; the latency of each in seconds. A wrong answer ends the benchmark."""
    latencies: list[float] = []
    left = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as client:

        async def caller() -> None:
            for _ in left:
                begun = time.perf_counter()
                status, raw = await ask(client, to, stream=stream)
                latencies.append(time.perf_counter() - begun)
                if status != 200 or text_of(raw, stream=stream) != expected:
                    raise WrongAnswer(f"{to.name} answered wrongly: {status} {raw[:300]!r}")

        await asyncio.gather(*(caller() for _ in range(concurrency)))
    return latencies


async def measure(to: Contender, texts: dict[bool, str], requests: int, frames: int) -> None:
    """One round."""
    before, begun = to.cpu(), time.perf_counter()
    await load(to, requests, 32, stream=False, expected=texts[False])
    to.note("requests/s c32", requests / (time.perf_counter() - begun))
    to.note("CPU us per request", (to.cpu() - before) / requests * 1e6)
    one = await load(to, max(20, requests // 10), 1, stream=False, expected=texts[False])
    to.note("c1 p50 us", statistics.median(one) * 1e6)
    streams = max(10, requests // 10)
    before = to.cpu()
    try:
        await load(to, streams, 8, stream=True, expected=texts[True])
    except WrongAnswer as error:
        if to.name.startswith("slipway"):
            raise
        # A peer that cannot relay the mock's streams has no figure here, and the table says why.
        to.note(f"streams failed ({error})"[:160], 1.0)
        return
    to.note("CPU us per streamed frame", (to.cpu() - before) / (streams * (frames + 3)) * 1e6)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def contenders(options: argparse.Namespace, upstream: int, folder: Path) -> list[Contender]:
    """Direct first. Ours runs with key check, limits, metrics and (in the second row) safety checks of prompt and answer; the others with their minimum."""
    mock = f"http://127.0.0.1:{upstream}"
    keys = folder / "keys.json"
    limits = {"requests_per_minute": 10_000_000, "tokens_per_minute": 10_000_000_000, "concurrent_streams": 100_000}
    sys.path.insert(0, str(HERE.parent))
    from slipway_gateway.keys import digest

    keys.write_text(json.dumps([{"id": "key_bench", "tenant": "bench", "digest": digest(KEY), "limits": limits}]))
    environ = {"SLIPWAY_GENERATOR_URL": mock, "SLIPWAY_RETRIEVER_URL": "", "SLIPWAY_RERANKER_URL": "", "SLIPWAY_REDIS_URL": ""}
    environ["SLIPWAY_GATEWAY_KEYS_FILE"] = str(keys)
    out = [Contender("direct", ["sleep", "100000"], upstream)]
    for name, safety in (("slipway", ""), ("slipway + safety", mock)):
        port = free_port()
        command = [sys.executable, "-m", "slipway_gateway", "--port", str(port)]
        out.append(Contender(name, command, port, {**environ, "SLIPWAY_SAFETY_URL": safety}))
    if options.litellm:
        port = free_port()
        model = {"model_name": "bench", "litellm_params": {"model": "openai/bench", "api_base": f"{mock}/v1", "api_key": "x"}}
        config = folder / "litellm.yaml"
        config.write_text(json.dumps({"model_list": [model], "general_settings": {"master_key": KEY}}))
        command = [
            f"{options.litellm}/bin/litellm",
            "--config",
            str(config),
            "--port",
            str(port),
            "--host",
            "127.0.0.1",
            "--num_workers",
            "1",
        ]
        out.append(
            Contender(
                "litellm", command, port, {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
            )
        )
    if options.portkey:
        port = free_port()
        command = ["node", f"{options.portkey}/node_modules/@portkey-ai/gateway/build/start-server.js", f"--port={port}", "--headless"]
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{mock}/v1", "authorization": "Bearer x"}
        out.append(Contender("portkey", command, port, {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}, headers))
    return out


async def main(options: argparse.Namespace) -> dict[str, Any]:
    upstream = free_port()
    mock = subprocess.Popen([sys.executable, str(HERE / "mock_upstream.py"), str(upstream), str(options.frames)])  # noqa: ASYNC220
    with tempfile.TemporaryDirectory() as folder:
        running = contenders(options, upstream, Path(folder))
        try:
            await asyncio.sleep(1)
            for contender in running:
                await contender.start()
            texts = {stream: text_of((await one_answer(running[0], stream))[1], stream=stream) for stream in (False, True)}
            for contender in running:
                await measure(contender, texts, 100, options.frames)  # warm-up, thrown away
                contender.figures = {k: v for k, v in contender.figures.items() if k.startswith("cold")}
            for _ in range(options.rounds):
                for contender in running:
                    await measure(contender, texts, options.requests, options.frames)
            for contender in running:
                contender.note("RSS MB", contender.rss_mb())
        finally:
            for contender in running:
                contender.stop()
            mock.kill()
            mock.wait()
    return {contender.name: contender.figures for contender in running}


async def one_answer(to: Contender, stream: bool) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as client:
        return await ask(client, to, stream=stream)


def show(results: dict[str, Any]) -> None:
    """Best, median and interquartile range of every figure."""
    for name, figures in results.items():
        print(f"\n{name}")
        for figure, values in figures.items():
            best = max(values) if "requests/s" in figure else min(values)
            quarters = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
            print(f"  {figure:28} best {best:10.1f}   median {quarters[1]:10.1f}   IQR {quarters[0]:.1f} - {quarters[2]:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--litellm")
    parser.add_argument("--portkey")
    parser.add_argument("--json")
    given = parser.parse_args()
    measured = asyncio.run(main(given))
    show(measured)
    if given.json:
        Path(given.json).write_text(json.dumps(measured, indent=1))
