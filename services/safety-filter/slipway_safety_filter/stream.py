"""How a caller moderates a stream by windows, in its smallest form. Tests and the evaluation drive it; a gateway keeps frames instead of text.

Each window is the text that is not yet shown and MAX_MATCH_CHARS before it. The verdict says from where on the window must be kept back
(`hold_from`), which is never more than MAX_MATCH_CHARS: so no match of a span that the policy redacts is ever shown in part.
It refuses to know detectors and policies.
"""

from collections.abc import Callable

from slipway_shared.contracts import CheckRequest, CheckResponse, Finding

from slipway_safety_filter.spans import MAX_MATCH_CHARS


class Refused(Exception):
    """The policy blocks the stream. What was shown before stays shown."""


class Window:
    """One answer in the making. `held_chars` is the most that was ever kept back after a check."""

    def __init__(self, check: Callable[[CheckRequest], CheckResponse], protected: tuple[str, ...] = ()) -> None:
        self._check = check
        self._protected = protected
        self._text = ""
        self._shown = 0
        self.held_chars = 0

    def push(self, text: str) -> str:
        """Takes the next piece and returns what may be shown now; raises Refused."""
        return self._step(text, final=False)

    def finish(self) -> str:
        """What was kept back; raises Refused."""
        return self._step("", final=True)

    def _step(self, text: str, *, final: bool) -> str:
        self._text += text
        dropped = max(0, self._shown - MAX_MATCH_CHARS)
        self._text, self._shown = self._text[dropped:], self._shown - dropped
        response = self._check(CheckRequest(text=self._text, side="output", protected=self._protected, final=final))
        if response.verdict == "block":
            raise Refused
        cut = len(self._text) if final or response.hold_from is None else max(self._shown, response.hold_from)
        shown = _redacted(self._text, self._shown, cut, response.findings)
        self._shown = cut
        self.held_chars = max(self.held_chars, len(self._text) - cut)
        return shown


def _redacted(text: str, start: int, end: int, findings: list[Finding]) -> str:
    out: list[str] = []
    at = start
    for finding in sorted((f for f in findings if f.placeholder), key=lambda f: f.start):
        if finding.end > at and finding.start < end and finding.placeholder:
            out += [text[at : finding.start], finding.placeholder]
            at = finding.end
    return "".join([*out, text[at:end]])
