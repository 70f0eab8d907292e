"""Frames of a running stream on their way from the model's connection to the caller's, in one go: no task wakes up and no message is made for each.

It takes frames that nobody has to look at; anything else (the usage, the end, an error, what is no frame, a limit that is reached, a caller who reads too
slowly) it leaves, untouched, to the way that all frames can go. It knows which frames are plain. It refuses to know sockets.
"""

from slipway_shared.dialect import sse
from slipway_shared.joining import Outlet

from slipway_gateway.account import Account
from slipway_gateway.frames import Cutter


class Pour:
    """The frames of one answer, out by `outlet` and counted in `account`."""

    __slots__ = ("_account", "_outlet")

    def __init__(self, outlet: Outlet, account: Account) -> None:
        self._outlet = outlet
        self._account = account

    def __call__(self, cutter: Cutter, piece: bytes) -> bytes:
        """Sends the plain frames that `piece` completes; what is no whole frame yet lies in `cutter`. Gives back what it did not take."""
        whole, cutter.rest = (cutter.rest + piece if cutter.rest else piece), b""
        sent, frames, special = _plain(whole)
        if frames > self._account.room or (frames and not self._outlet(whole[:sent])):
            return whole
        self._account.frames(frames)
        if sent == len(whole):
            return b""
        rest = whole[sent:]
        if special or len(rest) > sse.MAX_FRAME_BYTES:
            return rest
        cutter.rest = rest
        return b""


def _plain(whole: bytes) -> tuple[int, int, bool]:
    """How many bytes, and frames, at the beginning of `whole` can go unseen, and whether something follows them that cannot."""
    if whole.find(b"\n") == len(whole) - 2 and _seen(whole):
        return len(whole), 1, False  # as most come: one, whole
    at = frames = 0
    while (end := whole.find(b"\n", at) + 2) > 1 and end <= len(whole):
        if not _seen(whole[at:end]):
            return at, frames, True
        at, frames = end, frames + 1
    return at, frames, False


def _seen(frame: bytes) -> bool:
    """Whether `frame` is one line of JSON that brings neither an error nor the usage. `frame` ends at its first line's end and a character after it."""
    if not frame.startswith(b"data: {") or frame.startswith(b'data: {"error"'):
        return False
    return frame.endswith(b',"usage":null}\n\n') or (frame.endswith(b"}\n\n") and (b'"usage"' not in frame or b'"usage":null' in frame))
