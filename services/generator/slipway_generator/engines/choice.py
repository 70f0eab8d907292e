"""From a model card to a started engine: the only `match` over engines in the service."""

from typing import Any

from slipway_generator.model import ModelCard
from slipway_generator.opened import Opened
from slipway_generator.settings import Settings


async def open_model(card: ModelCard, settings: Settings, log: Any) -> Opened:
    """Start the card's engine; raises StartRefused with the cause (library missing, CPU too old, file not understood, memory)."""
    match card.engine:
        case "echo":
            from slipway_generator.engines.echo import open_echo

            return await open_echo(card, settings)
        case "llamacpp":
            from slipway_generator.engines.llamacpp.opening import open_llamacpp

            return await open_llamacpp(card, settings, log)
        case "onnx":
            from slipway_generator.engines.onnx.engine import open_onnx

            return await open_onnx(card, settings, log)
        case "pointer":
            from slipway_generator.engines.pointer import open_pointer

            return await open_pointer(card, settings, log)
        case "vllm":
            from slipway_generator.engines.vllm.engine import open_vllm

            return await open_vllm(card, settings, log)
