"""The gateways that are compared: how each is started on its core, what its processes use, and the throw-away folders that peers are installed in.

Ours runs with keys, limits and metrics, and in a row of its own with the safety checks of prompt and answer as well; the peers with their minimum.
It refuses to know what is measured.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

KEY = "sk-bench-0123456789abcdef"
_CPU_CLOCK = 2
"""CPUCLOCK_SCHED: Linux names the CPU clock of a whole process by its id's complement, as clock_getcpuclockid(3) does."""
LITELLM = "litellm[proxy]==1.93.0"
PORTKEY = "@portkey-ai/gateway@1.15.2"
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000000;
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} reuseport;
    location / {{ proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""


@dataclass
class Contender:
    """One gateway: how it is started, and what was measured. `notes` tell what it could not do."""

    name: str
    command: list[str]
    port: int
    environ: dict[str, str] = field(default_factory=dict[str, str])
    headers: dict[str, str] = field(default_factory=lambda: {"authorization": f"Bearer {KEY}"})
    process: "subprocess.Popen[bytes] | None" = None
    figures: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    notes: list[str] = field(default_factory=list[str])

    @property
    def ours(self) -> bool:
        """Whether a wrong answer of it ends the benchmark."""
        return self.name.startswith("slipway")

    def note(self, name: str, value: float) -> None:
        """One more value of a figure."""
        self.figures.setdefault(name, []).append(value)

    def start(self, core: int) -> None:
        """Starts it on that core alone; nothing is awaited."""
        if not self.command:
            return
        environ = {**os.environ, **self.environ}
        command = ["taskset", "-c", str(core), *self.command]
        self.process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def cpu(self) -> float:
        """Seconds of user and system time of all its processes so far; 0 for the direct way. Of their CPU clocks, which count nanoseconds: /proc counts
        hundredths of a second, which is a fifth of what a round of two hundred requests takes."""
        used = 0.0
        for pid in self._pids():
            with contextlib.suppress(OSError):  # it ended meanwhile
                used += time.clock_gettime(~pid << 3 | _CPU_CLOCK)
        return used

    def rss_mb(self) -> float:
        """Memory of all its processes."""
        pages = 0
        for pid in self._pids():
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self) -> None:
        """Ends all its processes."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _pids(self) -> list[int]:
        if self.process is None:
            return []
        parents = {int(at.name): int(one[1]) for at in Path("/proc").glob("[0-9]*") if (one := _stat(int(at.name)))}
        out = [self.process.pid]
        for pid in out:
            out += [child for child, parent in parents.items() if parent == pid]
        return out


def _stat(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return []


def ours(name: str, upstream: int, port: int, folder: Path, *, safety: bool, redis: str = "") -> Contender:
    """Slipway's gateway before the mock; every limit is on, too high to be met, and counted in `redis` or, without one, in the process."""
    mock = f"http://127.0.0.1:{upstream}"
    limits = {"requests_per_minute": 10_000_000, "tokens_per_minute": 10_000_000_000, "concurrent_streams": 100_000, "budget_usd": 1e9}
    key = {"id": "key_bench", "tenant": "bench", "digest": hashlib.sha256(KEY.encode()).hexdigest(), "limits": limits}
    (folder / "keys.json").write_text(json.dumps([key]))
    environ = {
        "SLIPWAY_GATEWAY_POOLS": json.dumps([{"name": "bench", "urls": [mock], "concurrency": 1024}]),
        "SLIPWAY_RETRIEVER_URL": "",
        "SLIPWAY_RERANKER_URL": "",
        "SLIPWAY_REDIS_URL": redis,
        "SLIPWAY_SAFETY_URL": mock if safety else "",
        "SLIPWAY_GATEWAY_KEYS_FILE": str(folder / "keys.json"),
    }
    return Contender(name, [sys.executable, "-m", "slipway_gateway", "--port", str(port)], port, environ)


def nginx(binary: str, upstream: int, port: int, folder: Path) -> Contender:
    """The floor: a reverse proxy that knows nothing of the API."""
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, upstream=upstream, port=port))
    return Contender("nginx", [binary, "-c", str(config), "-p", str(folder)], port)


def litellm(venv: Path, upstream: int, port: int, folder: Path) -> Contender:
    """LiteLLM's proxy with a master key and one worker."""
    model = {
        "model_name": "bench",
        "litellm_params": {"model": "openai/bench", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "x"},
    }
    config = folder / "litellm.yaml"
    config.write_text(json.dumps({"model_list": [model], "general_settings": {"master_key": KEY}}))
    command = [str(venv / "bin/litellm"), "--config", str(config), "--port", str(port), "--host", "127.0.0.1", "--num_workers", "1"]
    return Contender(
        "litellm", command, port, {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    )


def portkey(folder: Path, upstream: int, port: int) -> Contender:
    """Portkey's gateway without a key."""
    command = ["node", f"{folder}/node_modules/@portkey-ai/gateway/build/start-server.js", f"--port={port}", "--headless"]
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1", "authorization": "Bearer x"}
    return Contender("portkey", command, port, {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}, headers)


def install_peers(folder: Path) -> None:
    """LiteLLM into `folder`/litellm and Portkey into `folder`/portkey, each of its own; what is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "litellm/bin/litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / "litellm")], check=True)
        subprocess.run([str(folder / "litellm/bin/pip"), "install", "--quiet", LITELLM], check=True)
    if not (folder / "portkey/node_modules").exists():
        if shutil.which("npm") is None:
            raise SystemExit("Portkey needs npm: install Node.js, or leave out --peers.")
        (folder / "portkey").mkdir(exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", PORTKEY], cwd=folder / "portkey", check=True)
