"""`POST /v1/load_lora_adapter` and `/v1/unload_lora_adapter`: LoRA adapters at run time, under vLLM's names. The gateway does not route them.

It refuses to know engines and files.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from slipway_shared.dialect.chat import Wire

from slipway_generator.routes import access

router = APIRouter()

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]


class LoadAdapter(Wire):
    """`lora_path` is a folder with a manifest, below SLIPWAY_GENERATOR_ADAPTERS_DIR; `lora_name` is the model name that requests will use."""

    lora_name: Name
    lora_path: Annotated[str, Field(min_length=1, max_length=255)]


class UnloadAdapter(Wire):
    """The adapter to unload."""

    lora_name: Name


@router.post("/v1/load_lora_adapter")
async def load(body: LoadAdapter, request: Request) -> dict[str, Any]:
    """Verify and load an adapter; from then on it answers to its own name."""
    card = await access.adapters(request).load(body.lora_name, body.lora_path)
    return {"id": card.name, "object": "model.adapter", "digest": card.digest}


@router.post("/v1/unload_lora_adapter")
async def unload(body: UnloadAdapter, request: Request) -> dict[str, Any]:
    """New requests for it are refused at once; it is freed when the running ones have ended."""
    await access.adapters(request).unload(body.lora_name)
    return {"id": body.lora_name, "object": "model.adapter", "deleted": True}
