"""What is trained: the decoder and its loss as one module, so that data-parallel and sharding wrappers see a single forward pass.

It knows how packed rows become inputs, labels and an attention mask. It refuses to know optimizers and files.
"""

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from slipway_training.pretrain.losses import next_token_loss


class Network(nn.Module):
    """`forward` takes rows of `context + 1` ids and gives their mean loss in nats per token."""

    def __init__(self, llama: LlamaForCausalLM, smoothing: float = 0.0, end: int | None = None, *, compiled: bool = False) -> None:
        """`end`: the token between documents; with it, tokens look only at their own document. None: at the whole row (no mask, the faster kernel).

        `compiled`: the loss as well, see next_token_loss.
        """
        super().__init__()
        self.llama = llama
        self._smoothing = smoothing
        self._end = end
        self._compiled = compiled

    def forward(self, rows: Tensor) -> Tensor:
        """rows (n, context + 1) int64 -> scalar; label smoothing in training only."""
        inputs, labels = rows[:, :-1], rows[:, 1:]
        mask, positions = (None, None) if self._end is None else document_mask(inputs, self._end)
        hidden = self.llama.model(input_ids=inputs, attention_mask=mask, position_ids=positions, use_cache=False).last_hidden_state
        smoothing = self._smoothing if self.training else 0.0
        return next_token_loss(hidden, self.llama.lm_head.weight, labels, smoothing, compiled=self._compiled)


def document_mask(inputs: Tensor, end: int) -> tuple[Tensor, Tensor]:
    """(mask, positions) for packed documents that each close with `end`: mask (n, 1, length, length) is true where a token may look, positions start anew."""
    length = inputs.shape[1]
    before = torch.cumsum((inputs == end).long(), dim=1) - (inputs == end).long()
    causal = torch.ones(length, length, dtype=torch.bool, device=inputs.device).tril()
    mask = causal & (before[:, :, None] == before[:, None, :])
    place = torch.arange(length, device=inputs.device).expand_as(inputs)
    first = torch.where(torch.nn.functional.pad(before[:, 1:] != before[:, :-1], (1, 0), value=True), place, 0).cummax(dim=1).values
    return mask[:, None], place - first
