"""From a verified GGUF to a started engine: library, threads, weights, template, memory; every choice logged with its reason.

It refuses to know requests.
"""

import asyncio
from pathlib import Path
from typing import Any

from slipway_shared import manifest

from slipway_generator import machine
from slipway_generator.engines.llamacpp.engine import LlamaCppEngine
from slipway_generator.engines.llamacpp.library import Library, load_library
from slipway_generator.engines.llamacpp.weights import GgufTokenizer, Weights
from slipway_generator.model import ModelCard, StartRefused
from slipway_generator.opened import Opened
from slipway_generator.settings import Settings
from slipway_generator.template import CHATML, PLAIN, ChatTemplate


async def open_llamacpp(card: ModelCard, settings: Settings, log: Any) -> Opened:
    """Load the card's GGUF and start its engine; raises StartRefused."""
    if card.entry is None or card.entry.suffix != ".gguf":
        raise StartRefused("engine llamacpp opens a .gguf file; the manifest's entry is none.")
    threads = machine.choose_threads(settings.threads, machine.usable_cores())
    policy = machine.choose_waiting_policy(threads.count)
    library = load_library(policy)
    weights = await asyncio.to_thread(Weights, library, card.entry)
    tokenizer = await asyncio.to_thread(GgufTokenizer, weights)
    if weights.trained_context < card.context_tokens:
        weights.free()
        raise StartRefused(
            f"{card.entry.name} was trained on {weights.trained_context} tokens of context; its manifest says {card.context_tokens}."
        )
    longest = card.context_tokens
    cells = max(settings.kv_tokens or settings.max_sequences * longest, longest)
    _explain(log, threads, policy, library, cells, weights)
    try:
        draft = await asyncio.to_thread(open_draft, settings.draft_model, library, tokenizer, longest)
    except StartRefused:
        weights.free()
        raise
    engine = LlamaCppEngine(weights, tokenizer, settings, cells=cells, longest=longest, threads=threads.count, log=log, draft=draft)
    try:
        template = choose_template(weights, tokenizer)
        await engine.start()
    except StartRefused:
        await engine.aclose()
        raise
    return Opened(card, engine, tokenizer, template, settings)


def open_draft(folder: str | None, library: Library, tokenizer: GgufTokenizer, longest: int) -> Weights | None:
    """The draft model's weights, verified like any model's; StartRefused unless it has the same vocabulary and reads as much."""
    if folder is None:
        return None
    try:
        entry = manifest.load_verified(Path(folder)).entry
    except (manifest.ManifestError, OSError) as error:
        raise StartRefused(f"the draft model is refused: {error}.") from error
    draft = Weights(library, entry)
    if GgufTokenizer(draft).pieces != tokenizer.pieces:
        draft.free()
        raise StartRefused("the draft model's vocabulary is not the model's; a draft must be of the same family.")
    if draft.trained_context < longest:
        draft.free()
        raise StartRefused(f"the draft model reads {draft.trained_context} tokens; the model's context is {longest}.")
    return draft


def choose_template(weights: Weights, tokenizer: GgufTokenizer) -> ChatTemplate:
    """The file's own template; without one ChatML where the vocabulary has its tokens, else plain roles."""
    source = weights.template() or (CHATML if "<|im_start|>" in tokenizer.specials else PLAIN)
    bos = tokenizer.spelling(int(weights.api.llama_vocab_bos(weights.vocabulary)))
    eos = tokenizer.spelling(int(weights.api.llama_vocab_eos(weights.vocabulary)))
    return ChatTemplate(source, tuple(tokenizer.specials), bos=bos, eos=eos)


def _explain(log: Any, threads: machine.Threads, policy: dict[str, str], library: Library, cells: int, weights: Weights) -> None:
    log.info(
        "llama.cpp",
        threads=threads.count,
        threads_reason=threads.reason,
        openmp=policy or "unchanged",
        openmp_reason="waiting threads sleep: the cores are shared" if policy else "one thread never waits, or the environment decides",
        weight_repacking=library.repack,
        library=library.build,
        kv_cells=cells,
        model_bytes=weights.bytes,
    )
