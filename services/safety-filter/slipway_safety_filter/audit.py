"""The audit stream: one line per decision that did something or saw an attack in a system message, with hashes instead of text.

It knows what an auditor needs to find a decision again: who, when, which policy, which rule, which score, and a keyed hash of what was checked.
It refuses text: nothing in a line leads back to what was said without the key and the text itself.
"""

import hashlib
import hmac
import time
from pathlib import Path
from typing import Any

import orjson
from slipway_shared.context import RequestContext
from slipway_shared.contracts import CheckRequest, CheckResponse

from slipway_safety_filter.roles import SYSTEM


class AuditError(Exception):
    """The file of the audit stream cannot be written; the message says which and why."""


class Audit:
    """Appends JSON lines to a file, or logs them where no file is set; raises AuditError. Lines are small and written whole."""

    def __init__(self, log: Any, key: bytes, path: Path | None) -> None:
        self._log = log
        self._key = key
        try:
            self._file = path.open("ab", buffering=0) if path is not None else None
        except OSError as error:
            raise AuditError(f"{path}: {error.strerror}") from error

    def record(self, context: RequestContext | None, request: CheckRequest, response: CheckResponse) -> None:
        """One line for a verdict other than allow, for dropped passages, or for a finding in a system message; nothing else is written."""
        watched = any(finding.category.endswith(f".{SYSTEM}") for finding in response.findings)
        if response.verdict == "allow" and not response.dropped and not watched:
            return
        line = {
            "event": "safety_decision",
            "at": round(time.time(), 3),
            "request_id": context.request_id if context else None,
            "tenant": context.tenant if context else None,
            "side": request.side,
            "verdict": response.verdict,
            "policy": response.policy,
            "text_hash": self.digest(request.text),
            "chars": len(request.text),
            "dropped": [self.digest(request.passages[i]) for i in response.dropped],
            "findings": [
                {"category": f.category, "rule": f.rule, "score": f.score, "threshold": f.threshold, "action": f.action,
                 "start": f.start, "end": f.end, "passage": f.passage}
                for f in response.findings[:64]
            ],
        }  # fmt: skip
        if self._file is None:
            self._log.info(**line)
        else:
            self._file.write(orjson.dumps(line) + b"\n")

    def digest(self, text: str) -> str:
        """A keyed hash: equal texts give equal hashes, and short texts cannot be guessed without the key."""
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()
