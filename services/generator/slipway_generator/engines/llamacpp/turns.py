"""LoRA adapters in the decode loop: llama.cpp applies one to a whole decode call, so sequences of different adapters take turns, a step each.

Adapters come and go between steps, on the decode thread, which owns the context. It refuses to know files and requests beyond their adapter's name.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Protocol


class Applies(Protocol):
    """The one verb of a context that is needed here."""

    def use(self, adapter: Any) -> None:
        """Apply an adapter's handle, or none."""
        ...


class Turns:
    """The adapters by name and the one that is applied now. `wake` tells the decode thread that there is an errand."""

    def __init__(self, context: Applies, wake: Callable[[], None]) -> None:
        self._context = context
        self._wake = wake
        self._lock = threading.Lock()
        self._errands: list[tuple[Future[None], Callable[[], None]]] = []
        self._handles: dict[str | None, Any] = {None: None}
        self._applied: str | None = None

    def put(self, name: str, handle: Any) -> Future[None]:
        """Between two steps: let requests use `handle` under `name`."""
        return self._errand(lambda: self._handles.update({name: handle}))

    def drop(self, name: str, free: Callable[[Any], None]) -> Future[None]:
        """Between two steps: forget an adapter that no request uses, and `free` its handle."""

        def forget() -> None:
            if self._applied == name:
                self._apply(None)
            free(self._handles.pop(name))

        return self._errand(forget)

    @property
    def pending(self) -> bool:
        """Whether there is an errand."""
        return bool(self._errands)

    def run_errands(self) -> None:
        """The decode thread, between two steps."""
        with self._lock:
            errands, self._errands = self._errands, []
        for done, work in errands:
            work()
            done.set_result(None)

    def next(self, running: Iterable[str | None]) -> str | None:
        """Apply and return the adapter whose turn it is among those of the `running` sequences."""
        names = list(dict.fromkeys(running))
        following = names.index(self._applied) + 1 if self._applied in names else 0
        adapter = names[following % len(names)]
        self._apply(adapter)
        return adapter

    def _apply(self, adapter: str | None) -> None:
        if adapter != self._applied:
            self._context.use(self._handles[adapter])
            self._applied = adapter

    def _errand(self, work: Callable[[], None]) -> Future[None]:
        done: Future[None] = Future()
        with self._lock:
            self._errands.append((done, work))
        self._wake()
        return done
