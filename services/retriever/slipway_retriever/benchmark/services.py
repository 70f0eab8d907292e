"""The real services as processes on loopback, and the processor time that they use."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Service:
    """One running service."""

    pid: int
    connection: http.client.HTTPConnection

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer as JSON; raises SystemExit with its text where the call is refused."""
        return self._asked("POST", path, json.dumps(body).encode(), "application/json")

    def get(self, path: str) -> dict[str, Any]:
        return self._asked("GET", path, None, "application/json")

    def upload(self, name: str, content: bytes) -> str:
        """The id of the uploaded file."""
        edge = "slipway-benchmark-edge"
        parts = [f'--{edge}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'.encode()]
        parts.append(f'--{edge}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + content + b"\r\n")
        body = b"".join(parts) + f"--{edge}--\r\n".encode()
        return str(self._asked("POST", "/v1/files", body, f"multipart/form-data; boundary={edge}")["id"])

    def cpu(self) -> float:
        """Seconds of processor time so far (Linux)."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:  # noqa: PTH123
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def _asked(self, method: str, path: str, body: bytes | None, kind: str) -> dict[str, Any]:
        self.connection.request(method, path, body, {"content-type": kind})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {text[:500].decode(errors='replace')}")
        return json.loads(text)


@contextmanager
def running(module: str, settings: Mapping[str, str]) -> Generator[Service]:
    """`python -m MODULE` on a free port, until the block is left."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", module, "--port", str(port)]
    with subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            service = Service(process.pid, http.client.HTTPConnection("127.0.0.1", port, timeout=120))
            _wait(process, port)
            yield service
        finally:
            process.terminate()


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + 180
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"{process.args!r} did not start")
        time.sleep(0.1)
