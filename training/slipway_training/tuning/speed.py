"""What a token of tuning costs in arithmetic, for the MFU that the bar shows. It knows weights; it refuses to know time."""

from typing import Any


def flops_per_token(model: Any, *, reference: bool) -> float:
    """FLOPs of one token of one step, attention's own products not counted (so that the MFU is a lower bound).

    Every weight that is multiplied costs 2 forward and 2 backward to its input, and 2 more for its gradient where it learns (Kaplan et al. 2020, arXiv
    2001.08361, in parts): 6 of full tuning, a little over 4 of LoRA. A frozen `reference` beside the model reads every token once, 2 more.
    """
    looked_up = 0 if model.config.tie_word_embeddings else model.get_input_embeddings().weight.numel()
    multiplied = sum(p.numel() for p in model.parameters()) - looked_up
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return (6.0 if reference else 4.0) * multiplied + 2.0 * min(learning, multiplied)
