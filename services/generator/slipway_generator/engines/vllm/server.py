"""The vLLM server process: its command line, its start, its watch, its end; or a server that somebody else runs, by its address.

vLLM's `/health` is green while it is paused, asleep or draining, so only a generated token counts as life. A process that dies is started again, with pauses
that grow; until it generates again there is a `problem`. It refuses to know requests.
"""

import asyncio
import contextlib
import ctypes
import os
import shlex
import signal
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from slipway_shared import errors

from slipway_generator.engines.vllm import gauges
from slipway_generator.engines.vllm.wire import MAX_LOGPROBS
from slipway_generator.model import ModelCard, StartRefused
from slipway_generator.settings import Settings

LOOK_SECONDS = 1.0
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1


def command(card: ModelCard, settings: Settings, port: int) -> list[str]:
    """How the server is started. Structured output never emits free whitespace: weak models do so for ever (docs/vllm.md)."""
    python = settings.vllm_python or sys.executable
    words = [
        python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(card.folder), "--served-model-name", card.id, "--host", "127.0.0.1",
        "--port", str(port), "--max-model-len", str(card.context_tokens), "--max-num-seqs", str(settings.max_sequences),
        "--max-logprobs", str(MAX_LOGPROBS), "--scheduling-policy", "priority", "--enable-prompt-tokens-details", "--generation-config", "vllm",
        "--structured-outputs-config", '{"backend":"guidance","disable_any_whitespace":true}', "--disable-uvicorn-access-log",
    ]  # fmt: skip
    if settings.vllm_speculative:
        words += ["--speculative-config", settings.vllm_speculative]
    if settings.max_adapters:
        words += ["--enable-lora", "--max-loras", str(settings.max_adapters), "--max-lora-rank", str(settings.max_adapter_rank)]
    return [*words, *shlex.split(settings.vllm_args)]


def environment(settings: Settings, own: Mapping[str, str]) -> dict[str, str]:
    """The process's variables: nothing is fetched or reported, adapters may be loaded, Intel's OpenMP where the CPU build brings it."""
    made = {
        **own,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    made.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    if settings.max_adapters:
        made["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
    openmp = Path(settings.vllm_python or sys.executable).parent.parent / "lib" / "libiomp5.so"
    if openmp.is_file():
        made.setdefault("LD_PRELOAD", str(openmp))
    return {name: value for name, value in made.items() if not name.startswith("SLIPWAY_")}


class VllmServer:
    """`base` is where it listens; `problem` says why it cannot serve now. With `settings.vllm_url` nothing is started or ended."""

    def __init__(self, card: ModelCard, settings: Settings, log: Any) -> None:
        self._card = card
        self._settings = settings
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._said: deque[str] = deque(maxlen=60)
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self.base = (settings.vllm_url or "").rstrip("/").removesuffix("/v1")
        self.problem: str | None = "not started"
        self.kv_use = 0.0
        self.drafts = gauges.Running()
        self.starts = 0
        self.on_up: Callable[[], Awaitable[None]] | None = None

    @property
    def process_id(self) -> int | None:
        """The process that was started here; its group's id as well."""
        return self._process.pid if self._process is not None else None

    @property
    def session(self) -> aiohttp.ClientSession:
        """One client for all calls; no limit of connections, for admission is the engine's."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None, sock_connect=5)
            )
        return self._session

    async def start(self) -> None:
        """Bring it up and see it generate; StartRefused with its own last words otherwise."""
        try:
            await self._bring_up()
        except StartRefused:
            await self.aclose()
            raise
        self.problem = None
        self._tasks.append(asyncio.create_task(self._watch()))

    async def aclose(self) -> None:
        """End what was started here, and nothing else."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._end_process()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _bring_up(self) -> None:
        if not self._settings.vllm_url:
            await self._spawn()
        deadline = time.monotonic() + self._settings.vllm_start_seconds
        while not await self._generates():
            if self._process is not None and self._process.returncode is not None:
                raise StartRefused(f"vLLM ended with code {self._process.returncode}: {self._last_words()}.")
            if time.monotonic() > deadline:
                raise StartRefused(f"vLLM did not generate within {self._settings.vllm_start_seconds:.0f} s: {self._last_words()}.")
            await asyncio.sleep(LOOK_SECONDS / 2)
        self.starts += 1
        if self.on_up is not None:
            await self.on_up()

    async def _spawn(self) -> None:
        port = _free_port()
        self.base = f"http://127.0.0.1:{port}"
        words = command(self._card, self._settings, port)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *words, env=environment(self._settings, os.environ), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT, start_new_session=True, preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )  # fmt: skip
        except OSError as error:
            raise StartRefused(f"vLLM cannot be started: {error}; set SLIPWAY_GENERATOR_VLLM_PYTHON to a Python that has it.") from error
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(self._listen(self._process)))

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Keep the last lines for errors; they are not logged, for they may hold what users wrote."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self._said.append(line.decode(errors="replace").strip()[:400])

    async def _generates(self) -> bool:
        """Whether one token comes back: the only sign of life that cannot lie."""
        body = {"model": self._card.id, "prompt": [1], "max_tokens": 1, "temperature": 0}
        try:
            async with self.session.post(
                f"{self.base}/v1/completions", json=body, timeout=aiohttp.ClientTimeout(total=self._settings.vllm_idle_seconds)
            ) as got:
                if got.status == 404:
                    raise StartRefused(f"the server at {self.base} does not serve {self._card.id}.")
                return got.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def _watch(self) -> None:
        """See a death within a second; bring it up again, or wait until somebody else has."""
        while True:
            if await self._alive():
                await self._read_gauges()
                await asyncio.sleep(LOOK_SECONDS)
                continue
            self.problem = "vLLM died and is being started again" if not self._settings.vllm_url else "vLLM does not answer"
            self._log.error("vllm lost", code=self._process.returncode if self._process else None)
            await self._heal()
            self.problem = None
            self._log.info("vllm serves again", starts=self.starts)

    async def _heal(self) -> None:
        for attempt in range(1 << 30):
            await self._end_process()
            await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
            try:
                await self._bring_up()
            except (StartRefused, errors.SlipwayError) as refused:
                self._log.error("vllm not up yet", attempt=attempt + 1, reason=str(refused)[:120])
            else:
                return

    async def _alive(self) -> bool:
        if self._process is not None:
            return self._process.returncode is None
        try:
            async with self.session.get(f"{self.base}/v1/models", timeout=aiohttp.ClientTimeout(total=5)) as got:
                return got.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def _read_gauges(self) -> None:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
            async with self.session.get(f"{self.base}/metrics", timeout=aiohttp.ClientTimeout(total=5)) as got:
                text = await got.text()
            figures = gauges.read(text)
            self.kv_use = figures.get(gauges.KV_USE, self.kv_use)
            self.drafts.see(figures)

    async def _end_process(self) -> None:
        """SIGTERM to the whole group (vLLM has workers), SIGKILL when it stays."""
        process, self._process = self._process, None
        if process is None:
            return
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), seconds)
                break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers that outlived it

    def _last_words(self) -> str:
        telling = [line for line in self._said if "Error" in line or "error" in line] or list(self._said)
        return telling[-1][-300:].rstrip(".") if telling else "it said nothing"


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
