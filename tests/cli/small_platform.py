"""The real supervisor over two small HTTP servers, for test_supervisor.py: `small_platform.py HOME BEHAVIOUR PORT PORT`.

BEHAVIOUR of the first part: `well`, `dies` (at its start), `stubborn` (ignores SIGTERM).
"""

import sys
from pathlib import Path

from slipway_cli import parts, places, supervisor

SERVER = """
import http.server, signal, sys
port, behaviour = int(sys.argv[1]), sys.argv[2]
if behaviour == "dies":
    sys.exit("there is a reason why I cannot start")
if behaviour == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", port), Ready).serve_forever()
"""


def part(name: str, port: int, behaviour: str) -> parts.Part:
    """A server on `port` under the name of a real part."""
    return parts.Part(name, (sys.executable, "-c", SERVER, str(port), behaviour), port, lambda: parts.http_ready(port))


def main() -> None:
    home, behaviour, ports = places.Home(Path(sys.argv[1])), sys.argv[2], [int(port) for port in sys.argv[3:]]
    supervisor.STOP_SECONDS = 1.0
    both = [part("gateway", ports[0], behaviour), part("generator", ports[1], "well")]
    sys.exit(supervisor.Supervisor(home, both, "none", places.Ports({"SLIPWAY_GATEWAY_PORT": ports[0]})).run())


if __name__ == "__main__":
    main()
