"""Answers that a model draws or decodes itself, and pairs of a right and a wrong one: verify, then learn.

It knows generation in batches and a verifier. It refuses to know how pairs are learnt from. A pair is made only where the verifier tells two answers apart:
rewards decide which of the right ones is best and which of the wrong ones is worst, never which is right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from slipway_training.tuning.config import Best, Heuristics
from slipway_training.tuning.rewards import judge, right
from slipway_training.tuning.rows import Messages, prompt_ids

BATCH = 32


@dataclass
class Tally:
    """What became of the questions: `solved` have a right answer among their samples, `pairs` both a right and a wrong one."""

    questions: int = 0
    solved: int = 0
    pairs: int = 0
    samples: int = 0
    right: int = 0


@torch.inference_mode()
def answers(
    opened: Any,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    said: Callable[[int], None] | None = None,
) -> list[str]:
    """One text for each row of prompt ids: drawn at `temperature`, or the likeliest tokens at 0. Special tokens are left out; longest prompts go first."""
    model, tokenizer = opened.model, opened.tokenizer
    model.eval()
    torch.manual_seed(seed)
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    out = [""] * len(prompts)
    how: dict[str, Any] = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature > 0 else {"do_sample": False}
    for start in range(0, len(order), BATCH):
        some = order[start : start + BATCH]
        width = max(len(prompts[i]) for i in some)
        ids = torch.full((len(some), width), tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(some):
            ids[row, width - len(prompts[i]) :] = torch.tensor(prompts[i])
            mask[row, width - len(prompts[i]) :] = 1
        made = model.generate(
            input_ids=ids.to(model.device), attention_mask=mask.to(model.device), max_new_tokens=max_new_tokens, use_cache=True,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, **how,
        )  # fmt: skip
        for row, i in enumerate(some):
            out[i] = str(tokenizer.decode(made[row, width:], skip_special_tokens=True)).strip()
        if said is not None:
            said(len(some))
    return out


def best_of(
    opened: Any, rows: Sequence[dict[str, Any]], best: Best, rewards: Heuristics, seed: int, said: Callable[[int], None] | None = None
) -> tuple[list[dict[str, Messages]], Tally]:
    """Preference rows out of the model's own samples for conversations that end on a known answer, and what became of them; `said` is told of samples."""
    asked = [row["messages"] for row in rows[: best.questions]]
    prompts = [prompt_ids(messages[:-1], opened.tokenizer) for messages in asked for _ in range(best.samples)]
    drawn = answers(opened, prompts, best.max_new_tokens, best.temperature, seed, said)
    tally, pairs = Tally(questions=len(asked), samples=len(drawn)), list[dict[str, Messages]]()
    for place, messages in enumerate(asked):
        some = drawn[place * best.samples : (place + 1) * best.samples]
        good = [text for text in some if right(text, messages[-1]["content"])]
        bad = [text for text in some if text and not right(text, messages[-1]["content"])]
        tally.right += len(good)
        tally.solved += bool(good)
        if not good or not bad:
            continue
        tally.pairs += 1
        chosen = max(good, key=lambda text: judge(text, rewards).total)
        rejected = min(bad, key=lambda text: judge(text, rewards).total)
        pairs.append({"prompt": messages[:-1], "chosen": _said(chosen), "rejected": _said(rejected)})
    return pairs, tally


def verified_best(
    opened: Any, prompts: Sequence[list[int]], golds: Sequence[str], best: Best, seed: int, said: Callable[[int], None] | None = None
) -> list[str | None]:
    """For each prompt the first of n samples that the verifier takes (Yuan et al. 2023, arXiv 2308.01825), None where it takes none; `said` is told of samples."""
    drawn = answers(opened, [p for p in prompts for _ in range(best.samples)], best.max_new_tokens, best.temperature, seed, said)
    groups = [drawn[i * best.samples : (i + 1) * best.samples] for i in range(len(prompts))]
    return [next((text for text in group if right(text, gold)), None) for group, gold in zip(groups, golds, strict=True)]


def _said(text: str) -> Messages:
    return [{"role": "assistant", "content": text}]
