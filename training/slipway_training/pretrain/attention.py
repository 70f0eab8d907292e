"""Causal attention for training: on a CPU blocks of queries against the keys before them, the probabilities kept for the backward pass; on a GPU torch's kernels.

torch's own kernel for CPUs is quick forward and slow backward (it is 2 to 3 times as slow as this one there, `make bench-training`), so both passes are written as
batched products and softmaxes, which run on the matrix units. It knows tensors only. It refuses to know models; masks other than causal go to torch's kernel.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface, AttentionMaskInterface, LlamaForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "slipway_causal"
BLOCK = 64
"""Queries of one block: half of the square is never computed at 256 tokens, and a block's scores stay in the cache."""
LONGEST = 2048
"""Tokens of a row beyond which kept probabilities (rows * heads * length^2 / 2 numbers a layer) cost too much memory."""

GPU_KERNELS = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""What a GPU attends with, the first that can: on an H200 cuDNN's kernels take two thirds of the time of FlashAttention 2 (docs/training-loop.md)."""


def attention_kernels(kind: str) -> AbstractContextManager[Any]:
    """On a GPU (`kind` "cuda"): within it torch's attention takes the first of GPU_KERNELS that fits, also in what torch.compile traces there."""
    return sdpa_kernel(GPU_KERNELS, set_priority=True) if kind == "cuda" else nullcontext()


def use_causal_attention(llama: LlamaForCausalLM) -> None:
    """Let `llama` attend by this module; export and evaluation elsewhere open the weights with transformers' own kernels."""
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    llama.set_attn_implementation(NAME)


def causal_attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """query (rows, heads, length, size), key and value (rows, groups, length, size), heads a multiple of groups -> (rows, heads, length, size).

    Products run in the inputs' type, softmax in float32 inside and that type outside, sums over blocks in float32.
    """
    out: Tensor = _Causal.apply(query, key, value, scale)  # type: ignore[assignment]
    return out


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """transformers' attention function; (rows, length, heads, size) comes out."""
    kind = query.device.type
    if (
        torch.compiler.is_compiling()
        or attention_mask is not None
        or dropout
        or kind != "cpu"
        or query.shape[2] != key.shape[2]
        or query.shape[2] > LONGEST
    ):
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more)
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype
    with torch.autocast(kind, enabled=False):
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        return causal_attention(query.to(dtype), key.to(dtype), value.to(dtype), scale).transpose(1, 2), None


class _Causal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:  # type: ignore[override]
        rows, heads, length, size = query.shape
        batch, each = rows * key.shape[1], heads // key.shape[1]
        q = (query * scale).reshape(batch, each, length, size)
        k, v = key.reshape(batch, length, size), value.reshape(batch, length, size)
        out, kept = torch.empty_like(q), list[Tensor]()
        later = torch.full((BLOCK, BLOCK), float("-inf"), dtype=q.dtype).triu(1)
        for at in range(0, length, BLOCK):
            end = min(at + BLOCK, length)
            n = end - at
            scores = torch.bmm(q[:, :, at:end].reshape(batch, each * n, size), k[:, :end].transpose(1, 2))
            scores.view(batch, each, n, end)[..., at:] += later[:n, :n]
            kept.append(torch.softmax(scores, dim=-1))
            out[:, :, at:end] = torch.bmm(kept[-1], v[:, :end]).view(batch, each, n, size)
        ctx.save_for_backward(q, k, v, *kept)
        ctx.scale, ctx.shapes = scale, (query.shape, key.shape)
        return out.view(query.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # type: ignore[override]
        q, k, v, *kept = ctx.saved_tensors
        batch, each, length, size = q.shape
        grad = grad.reshape(q.shape)
        to_q = torch.empty_like(q)
        to_k, to_v = (torch.zeros(k.shape, dtype=torch.float32) for _ in range(2))
        for weights, at in zip(kept, range(0, length, BLOCK), strict=True):
            end = min(at + BLOCK, length)
            n = end - at
            come = grad[:, :, at:end].reshape(batch, each * n, size)
            to_v[:, :end] += torch.bmm(weights.transpose(1, 2), come)
            slope = torch.bmm(come, v[:, :end].transpose(1, 2))
            slope = torch.ops.aten._softmax_backward_data(slope, weights, -1, weights.dtype)
            to_q[:, :, at:end] = torch.bmm(slope, k[:, :end]).view(batch, each, n, size)
            to_k[:, :end] += torch.bmm(slope.transpose(1, 2), q[:, :, at:end].reshape(batch, each * n, size))
        like, fewer = ctx.shapes
        return (to_q * ctx.scale).view(like), to_k.to(k.dtype).view(fewer), to_v.to(v.dtype).view(fewer), None
