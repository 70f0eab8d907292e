"""A real OpenAI-compatible server on loopback whose teacher can do sums, and misbehaves on request."""

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class TeacherServer(ThreadingHTTPServer):
    """Answers sums; a word in the prompt says how it should go wrong."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.seen: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.moderation_down = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: TeacherServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/v1/moderations":
            self.moderate(body)
            return
        prompt = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.seen[prompt] += 1
            self.server.bodies.append(body)
            self.server.headers.append({k.lower(): v for k, v in self.headers.items()})
            times = self.server.seen[prompt]
        if self.path != "/v1/chat/completions":
            self.reply(404, {"error": "no such path"})
        elif "busy" in prompt and times < 3:
            self.reply(429 if times == 1 else 503, {"error": "later"}, retry_after="0")
        elif "hang up" in prompt and times < 2:
            self.close_connection = True
        elif "garbled" in prompt and times < 2:
            self.reply(200, "this is { no json")
        elif "too long" in prompt:
            self.reply(400, {"error": "context length"})
        elif "down" in prompt:
            self.reply(500, {"error": "broken"})
        elif "forbidden" in prompt:
            self.reply(401, {"error": "who are you"})
        else:
            self.reply(200, self.completion(prompt, times))

    def completion(self, prompt: str, times: int) -> dict[str, Any]:
        a, b = map(int, (re.findall(r"\d+", prompt) or [0, 0])[:2])
        answer = f"We add {a} and {b}, which makes {a + b}.\n#### {a + b}"
        finish = "stop"
        if "wrong" in prompt or ("second try" in prompt and times < 2):
            answer = answer.replace(f"#### {a + b}", f"#### {a + b + 1}")
        elif "cut" in prompt:
            finish = "length"
        elif "apology" in prompt:
            answer = f"As an AI model I cannot add. #### {a + b}"
        elif "mail" in prompt:
            answer += "\nAsk someone@mail.example.org."
        elif "rude" in prompt:
            answer += " You Dunderhead!"
        elif "same" in prompt:
            answer = answer.replace("We add", "We  add")
        usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
        return {"choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": finish}], "usage": usage}

    def moderate(self, body: dict[str, Any]) -> None:
        if self.server.moderation_down:
            self.reply(500, {"error": "broken"})
        else:
            self.reply(200, {"results": [{"flagged": "explosive" in text} for text in body["input"]]})

    def reply(self, status: int, body: object, retry_after: str = "") -> None:
        raw = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        if retry_after:
            self.send_header("retry-after", retry_after)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        return None


@pytest.fixture
def teacher() -> Iterator[TeacherServer]:
    with TeacherServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
