"""Which model this process serves: its names, its digest, and what its manifest says of it.

The folder is verified here, before any native parser sees a byte of it. It refuses to know how a model is loaded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway_shared import errors, manifest
from slipway_shared.grounding import ModelKind

from slipway_generator.settings import EngineChoice, Settings

ECHO_CONTEXT_TOKENS = 32_768


class StartRefused(Exception):
    """This process must not serve; the message is one sentence that names the cause."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is served. `entry` is what the engine may open; None for `echo`. `names` are the names that requests may use."""

    id: str
    names: tuple[str, ...]
    digest: str
    engine: EngineChoice
    kind: ModelKind
    context_tokens: int
    created: int = 0
    device_classes: tuple[str, ...] = ()
    eval: tuple[tuple[str, float], ...] = ()
    folder: Path | None = None
    entry: Path | None = None

    def check_name(self, name: str) -> None:
        """NotFound unless `name` means this model."""
        if name not in self.names:
            raise errors.NotFound(f"This generator serves {self.id!r}, not the requested model.", param="model", code="model_not_found")

    def listing(self) -> dict[str, Any]:
        """The entry of `GET /v1/models`."""
        return {
            "id": self.id,
            "object": "model",
            "created": self.created,
            "owned_by": "slipway",
            "digest": self.digest,
            "kind": self.kind,
            "engine": self.engine,
            "context_tokens": self.context_tokens,
            "device_classes": list(self.device_classes),
            "eval": dict(self.eval),
        }


def identify(settings: Settings) -> ModelCard:
    """The card of the model that `settings` names, every file of it hashed and compared; raises StartRefused."""
    if settings.model == "echo":
        return _echo(settings)
    try:
        verified = manifest.load_verified(Path(settings.model))
    except (manifest.ManifestError, OSError) as error:
        raise StartRefused(f"the model is refused: {error}.") from error
    written = verified.manifest
    context = settings.context_tokens or written.context_tokens
    if context > written.context_tokens:
        raise StartRefused(f"{written.id} reads {written.context_tokens} tokens; context_tokens={context} asks for more.")
    return ModelCard(
        id=written.id,
        names=_names(written.id, written.model, settings.served_name),
        digest=verified.digest,
        engine=settings.engine or written.engine,
        kind=written.kind,
        context_tokens=context,
        created=written.created,
        device_classes=tuple(written.device_classes),
        eval=tuple(written.eval.items()),
        folder=verified.folder,
        entry=verified.entry,
    )


def _echo(settings: Settings) -> ModelCard:
    if settings.engine not in (None, "echo"):
        raise StartRefused(f"engine {settings.engine} needs a model folder; set SLIPWAY_GENERATOR_MODEL to one that holds manifest.json.")
    context = settings.context_tokens or ECHO_CONTEXT_TOKENS
    names = _names("echo", None, settings.served_name)
    return ModelCard(
        id="echo",
        names=names,
        digest="none",
        engine="echo",
        kind="chat",
        context_tokens=context,
        device_classes=("x86", "arm", "gpu", "mobile"),
    )


def _names(*names: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))
