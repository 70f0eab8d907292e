"""LoRA adapters of the loaded model: verified, loaded, listed, leased to requests, unloaded when nobody uses them any more.

It knows manifests and leases. It refuses to know how an engine applies an adapter, and reads folders only below the one that the settings name.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from slipway_shared import errors, manifest

from slipway_generator.engine import Delta, Engine, GenerateRequest
from slipway_generator.model import ModelCard
from slipway_generator.settings import Settings

MAX_ADAPTER_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class AdapterCard:
    """One verified adapter. `entry` is what the engine may open: a GGUF, or a PEFT folder for vLLM."""

    name: str
    digest: str
    folder: Path
    entry: Path


@runtime_checkable
class TakesAdapters(Protocol):
    """An engine that can apply LoRA adapters by the name in `GenerateRequest.adapter`."""

    async def load_adapter(self, card: AdapterCard) -> None:
        """Make `card.name` usable; raises BadRequest when the file does not fit the model."""
        ...

    async def unload_adapter(self, name: str) -> None:
        """Free it; nobody uses it any more."""
        ...


@dataclass
class _Held:
    card: AdapterCard
    users: int = 0
    leaving: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class Adapters:
    """The adapters of one model. `generate` is the engine's, with a lease on the adapter around it."""

    def __init__(self, model: ModelCard, engine: Engine, settings: Settings) -> None:
        self._model = model
        self._engine = engine
        self._settings = settings
        self._held: dict[str, _Held] = {}
        self._changing = asyncio.Lock()

    def resolve(self, name: str) -> str | None:
        """None for the model's own names, the adapter's name for an adapter; NotFound for anything else."""
        held = self._held.get(name)
        if held is not None and not held.leaving:
            return name
        self._model.check_name(name)
        return None

    def listing(self) -> list[dict[str, Any]]:
        """Entries of `GET /v1/models`, each naming its parent."""
        base = self._model.listing()
        return [
            {**base, "id": held.card.name, "digest": held.card.digest, "parent": self._model.id, "eval": {}}
            for held in self._held.values()
            if not held.leaving
        ]

    async def load(self, name: str, path: str) -> AdapterCard:
        """Verify the folder `path` (below SLIPWAY_GENERATOR_ADAPTERS_DIR) and load it as `name`; BadRequest, Conflict or NotFound otherwise."""
        if not isinstance(self._engine, TakesAdapters):
            raise errors.BadRequest(f"The engine {self._model.engine} takes no adapters.", code="unsupported_parameter")
        async with self._changing:
            if name in self._held or name in self._model.names:
                raise errors.Conflict(f"{name!r} is loaded already; unload it first.", param="lora_name")
            if len(self._held) >= self._settings.max_adapters:
                raise errors.Conflict(f"{len(self._held)} adapters are loaded, which is the limit (SLIPWAY_GENERATOR_MAX_ADAPTERS).")
            card = await asyncio.to_thread(self._verify, name, path)
            await self._engine.load_adapter(card)
            self._held[name] = _Held(card)
        return card

    async def unload(self, name: str) -> None:
        """Refuse new requests for `name` at once, wait for the running ones, then free it; NotFound when there is none."""
        held = self._held.get(name)
        if held is None or held.leaving:
            raise errors.NotFound(f"No adapter is called {name!r}.", param="lora_name")
        held.leaving = True
        while held.users:
            held.idle.clear()
            await held.idle.wait()
        async with self._changing:
            assert isinstance(self._engine, TakesAdapters)
            await self._engine.unload_adapter(name)
            del self._held[name]

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Delta]:
        """The engine's deltas; the adapter stays loaded until the last of them."""
        held = self._held.get(request.adapter) if request.adapter is not None else None
        if request.adapter is not None and (held is None or held.leaving):
            raise errors.NotFound(f"No adapter is called {request.adapter!r}.", param="model", code="model_not_found")
        if held is not None:
            held.users += 1
        try:
            async with aclosing(self._engine.generate(request)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            if held is not None:
                held.users -= 1
                held.idle.set()

    def _verify(self, name: str, path: str) -> AdapterCard:
        root = self._settings.adapters_dir
        if root is None:
            raise errors.BadRequest("No folder for adapters is set (SLIPWAY_GENERATOR_ADAPTERS_DIR).", param="lora_path")
        folder = (Path(root) / path).resolve()
        if not folder.is_relative_to(Path(root).resolve()) or not folder.is_dir():
            raise errors.BadRequest("lora_path names no folder below SLIPWAY_GENERATOR_ADAPTERS_DIR.", param="lora_path")
        try:
            written, _ = manifest.read_manifest(folder)
            if sum(file.bytes for file in written.files) > MAX_ADAPTER_BYTES:
                raise manifest.ManifestError(f"the adapter is larger than {MAX_ADAPTER_BYTES} bytes")
            verified = manifest.load_verified(folder)
        except (manifest.ManifestError, OSError) as error:
            raise errors.BadRequest(f"The adapter is refused: {error}.", param="lora_path", code="adapter_refused") from None
        if written.adapter_of not in self._model.names:
            raise errors.BadRequest(
                f"The adapter belongs to {written.adapter_of or 'no model'}, not to {self._model.id}.",
                param="lora_path",
                code="adapter_refused",
            )
        if written.engine != self._model.engine:
            raise errors.BadRequest(f"The adapter is for the engine {written.engine}.", param="lora_path", code="adapter_refused")
        return AdapterCard(name, verified.digest, folder, verified.entry)
