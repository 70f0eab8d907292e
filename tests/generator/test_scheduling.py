"""The scheduler with the real library, in this process: shared prefixes, room, priorities, speculation, cancellation."""

import asyncio
import contextlib
import time
from typing import Any

import pytest
from slipway_generator.engine import Counts, Delta, GenerateRequest, Sampling
from slipway_generator.opened import Opened
from slipway_generator.tokenizer import Piece, encode_prompt
from slipway_shared import errors

PASSAGES = "the quick brown fox jumps over the lazy dog while slipway serves small language models on laptops " * 2
WORDS = ("fox", "dog", "lazy", "quick", "models", "serves", "brown", "jumps")
NEVER_ENDS = ((2, -100.0), (0, -100.0))
"""A bias against the tiny model's end tokens, so that an answer goes on to its limit."""


def ask(opened: Opened, text: str, *, tokens: int = 24, sampling: Sampling | None = None, **fields: Any) -> GenerateRequest:
    prompt = encode_prompt(opened.tokenizer, [Piece(text)])
    return GenerateRequest(id="x", prompt=prompt, max_tokens=tokens, sampling=sampling or Sampling(logit_bias=NEVER_ENDS), **fields)


async def run(opened: Opened, request: GenerateRequest) -> tuple[tuple[int, ...], Counts]:
    deltas: list[Delta] = [delta async for delta in opened.engine.generate(request)]
    counts = deltas[-1].counts
    assert counts is not None
    tokens = tuple(token for delta in deltas for token in delta.tokens)
    assert counts.completion == len(tokens)
    return tokens, counts


async def test_a_repeated_beginning_is_read_once_and_changes_nothing(opening: Any) -> None:
    async with opening(prefix_entries=0) as without, opening() as sharing:
        for ending in WORDS[:3]:
            request = ask(sharing, PASSAGES + ending)
            cold, none = await run(without, request)
            first, some = await run(sharing, request)
            again, most = await run(sharing, request)
            assert cold == first == again
            assert none.cached == 0
            assert most.cached == most.prompt - 1 >= some.cached
        assert sharing.engine.load().kept_bytes > 0 == without.engine.load().kept_bytes


async def test_each_of_several_gets_its_own_prefix_back_though_a_neighbour_shares_nearly_as_much(opening: Any) -> None:
    """With cells of their own, both are a copy: then what was kept wins by a single token."""
    async with opening() as opened:
        requests = [ask(opened, PASSAGES + " ".join(WORDS[at : at + 4]), tokens=4) for at in range(4)]
        await asyncio.gather(*(run(opened, request) for request in requests))
        again = await asyncio.gather(*(run(opened, request) for request in requests))
        assert [counts.prompt - counts.cached for _, counts in again] == [1] * len(requests)


async def test_idle_sessions_keep_their_state_within_the_megabytes_they_have(opening: Any) -> None:
    async with opening(prefix_mb=1, kv_tokens=4096) as opened:
        for at in range(40):
            await run(opened, ask(opened, f"{at} " + PASSAGES, tenant=f"tenant-{at}"))
            assert opened.engine.load().kept_bytes <= 1 << 20
        assert opened.engine.load().kept_bytes > 1 << 19
        again = (await run(opened, ask(opened, "39 " + PASSAGES, tenant="tenant-39")))[1]
        stranger = (await run(opened, ask(opened, "39 " + PASSAGES, tenant="tenant-0")))[1]
        assert again.cached == again.prompt - 1
        assert stranger.cached == 0


async def test_sequences_of_slots_that_were_moved_say_what_they_say_alone(opening: Any) -> None:
    """The first of four ends early: the last moves into its slot while it answers."""
    async with opening(prefix_entries=0) as opened:
        requests = [ask(opened, f"{word} " * 5, tokens=8 if at == 0 else 60) for at, word in enumerate(WORDS[:4])]
        alone = [(await run(opened, request))[0] for request in requests]
        together = await asyncio.gather(*(run(opened, request) for request in requests))
        assert [tokens for tokens, _ in together] == alone


async def test_sequences_together_say_what_each_says_alone_in_little_room(opening: Any) -> None:
    async with (
        opening(kv_tokens=512, context_tokens=512, max_sequences=3, prefix_entries=6, prefill_chunk=7) as small,
        opening(prefix_entries=0) as roomy,
    ):
        requests = [ask(small, f"{word} " * 30, tokens=40, tenant=f"tenant-{at % 2}") for at, word in enumerate(WORDS)]
        alone = [(await run(roomy, request))[0] for request in requests]
        for _ in range(3):
            together = await asyncio.gather(*(run(small, request) for request in requests))
            assert [tokens for tokens, _ in together] == alone
        assert small.engine.load().running == small.engine.load().waiting == 0


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(logit_bias=NEVER_ENDS),
        Sampling(temperature=0.5, seed=3, logit_bias=NEVER_ENDS),
        Sampling(temperature=1.0, seed=4, top_k=3, logit_bias=NEVER_ENDS),
        Sampling(frequency_penalty=0.3, repetition_penalty=1.1, logit_bias=NEVER_ENDS),
    ],
    ids=["greedy", "sampled", "top-k", "penalties"],
)  # fmt: skip
async def test_speculation_changes_no_token(opening: Any, sampling: Sampling) -> None:
    async with opening(speculate=False) as plain, opening(speculate=True) as drafting:
        for text in ("a b a b a b a b a b", PASSAGES):
            request = ask(plain, text, tokens=120, sampling=sampling, logprobs=0)
            assert (await run(plain, request))[0] == (await run(drafting, request))[0]


async def test_right_drafts_are_taken_and_counted(opening: Any) -> None:
    async with opening(speculate=True) as drafting:
        fox = drafting.tokenizer.encode(" fox")[0]
        forced = Sampling(logit_bias=((fox, 100.0),))
        tokens, counts = await run(drafting, ask(drafting, "a", tokens=50, sampling=forced))
        assert tokens == (fox,) * 50
        assert counts.accepted > 25
        assert counts.accepted <= counts.drafted
        # A stop string in the middle of accepted drafts still ends the answer where it should.
        deltas = [
            d async for d in drafting.engine.generate(ask(drafting, "a", tokens=50, sampling=forced, stops=("fox fox fox fox fox fox",)))
        ]
        assert "".join(delta.text for delta in deltas) == " "
        assert deltas[-1].finish == "stop"
        again, _ = await run(drafting, ask(drafting, "a", tokens=50, sampling=forced))
        assert again == tokens


async def test_priority_goes_before_age_and_age_before_luck(opening: Any) -> None:
    async with opening(max_sequences=1, speculate=False) as narrow:
        ended: list[str] = []

        async def one(name: str, priority: int) -> None:
            await run(narrow, ask(narrow, "fox", tokens=60, priority=priority))
            ended.append(name)

        tasks = [asyncio.ensure_future(one("first", 9))]
        while narrow.engine.load().running == 0:
            await asyncio.sleep(0.001)
        for name, priority in (("late", 5), ("later", 5), ("urgent", -5)):
            tasks.append(asyncio.ensure_future(one(name, priority)))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert ended == ["first", "urgent", "late", "later"]


async def test_closing_the_iterator_frees_the_sequence_before_the_next_step(opening: Any) -> None:
    async with opening(max_sequences=2) as opened:
        for _ in range(20):
            deltas = opened.engine.generate(ask(opened, "fox", tokens=400))
            await anext(deltas)
            await deltas.aclose()
        waiting = [opened.engine.generate(ask(opened, PASSAGES, tokens=300)) for _ in range(6)]
        firsts = [asyncio.ensure_future(anext(deltas)) for deltas in waiting]
        await asyncio.sleep(0)
        for first in firsts:
            first.cancel()
        await asyncio.gather(*firsts, return_exceptions=True)
        tokens, _ = await run(opened, ask(opened, "fox", tokens=5))
        assert len(tokens) == 5
        end = time.monotonic() + 5
        while (opened.engine.load().running or opened.engine.load().waiting) and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert opened.engine.load().running == opened.engine.load().waiting == 0


async def test_who_waits_gets_the_slot_of_one_who_left_and_nobody_else_is_disturbed(opening: Any) -> None:
    async with opening(max_sequences=2) as opened:
        stays, leaves = (opened.engine.generate(ask(opened, word, tokens=60)) for word in WORDS[:2])
        await asyncio.gather(anext(stays), anext(leaves))
        waits = asyncio.ensure_future(run(opened, ask(opened, WORDS[2], tokens=3)))
        while opened.engine.load().waiting == 0:
            await asyncio.sleep(0)
        await leaves.aclose()
        rest = [delta async for delta in stays]
        assert rest[-1].finish == "length"
        assert len((await waits)[0]) == 3


async def test_overload_and_deadlines_are_errors_of_the_tree(opening: Any) -> None:
    async with opening(max_sequences=1, max_waiting=0, kv_tokens=512) as narrow:
        busy = narrow.engine.generate(ask(narrow, "fox", tokens=400))
        await anext(busy)
        with pytest.raises(errors.QueueFull):
            await run(narrow, ask(narrow, "dog"))
        await busy.aclose()
    async with opening(max_sequences=1) as narrow:
        with pytest.raises(errors.DeadlineExceeded):
            await run(narrow, ask(narrow, PASSAGES, tokens=400, deadline=time.monotonic() - 1))
        with pytest.raises(errors.DeadlineExceeded):
            await run(narrow, ask(narrow, PASSAGES, tokens=400, deadline=time.monotonic() + 0.02))


async def test_closing_the_engine_ends_every_stream_with_an_error(opening: Any) -> None:
    async with opening() as opened:
        deltas = opened.engine.generate(ask(opened, "fox", tokens=480))
        await anext(deltas)
        await opened.engine.aclose()
        with pytest.raises(errors.Overloaded), contextlib.suppress(StopAsyncIteration):
            while True:
                await anext(deltas)


async def test_a_failed_decode_is_told_to_its_callers_and_the_next_request_is_served(opening: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from slipway_generator.engines.llamacpp.context import Context, DecodeFailed

    decode, broken = Context.decode, [True]

    def failing(self: Context) -> Any:
        if broken:
            broken.pop()
            raise DecodeFailed(1)
        return decode(self)

    async with opening() as opened:
        tokens, _ = await run(opened, ask(opened, PASSAGES))
        monkeypatch.setattr(Context, "decode", failing)
        with pytest.raises(errors.UpstreamFailed):
            await run(opened, ask(opened, PASSAGES))
        again, counts = await run(opened, ask(opened, PASSAGES))
        assert again == tokens
        assert counts.cached == 0  # nothing of the memory was trusted after the failure
        assert opened.engine.load().problem is None


async def test_an_engine_that_keeps_failing_says_so(opening: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from slipway_generator.engines.llamacpp.context import Context, DecodeFailed

    def failing(_self: Context) -> Any:
        raise DecodeFailed(1)

    async with opening() as opened:
        monkeypatch.setattr(Context, "decode", failing)
        for _ in range(3):
            with pytest.raises(errors.UpstreamFailed):
                await run(opened, ask(opened, "fox"))
        assert opened.engine.load().problem
        with pytest.raises(errors.Overloaded):
            await run(opened, ask(opened, "fox"))


async def test_a_slot_that_still_holds_the_beginning_is_taken_again_by_its_tenant_alone(
    opening: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slipway_generator.engines.llamacpp.context import Context

    restored: list[int] = []
    restore = Context.restore

    def noting(self: Context, slot: int, state: Any) -> bool:
        restored.append(slot)
        return restore(self, slot, state)

    monkeypatch.setattr(Context, "restore", noting)
    async with opening() as opened, opening(prefix_entries=0) as cold:
        request = ask(opened, PASSAGES + "fox", tenant="one")
        first, _ = await run(opened, request)
        longer = ask(opened, PASSAGES + "fox and dog", tenant="one")
        again, counts = await run(opened, longer)
        assert counts.cached > len(request.prompt) // 2
        assert not restored, "nothing was copied"
        assert (first, again) == ((await run(cold, request))[0], (await run(cold, longer))[0])
        _, stranger = await run(opened, ask(opened, PASSAGES + "fox", tenant="two"))
        assert stranger.cached == 0


async def test_a_stream_says_what_the_whole_answer_says_with_a_delta_a_token(opening: Any) -> None:
    async with opening(speculate=True) as drafting:
        fox = drafting.tokenizer.encode(" fox")[0]
        forced = Sampling(logit_bias=((fox, 100.0),))
        whole, counts = await run(drafting, ask(drafting, "a", tokens=50, sampling=forced))
        assert counts.accepted > 0
        deltas = [delta async for delta in drafting.engine.generate(ask(drafting, "a", tokens=50, sampling=forced, stream=True))]
        assert tuple(token for delta in deltas for token in delta.tokens) == whole
        assert "".join(delta.text for delta in deltas) == " fox" * 50
        assert all(len(delta.tokens) == 1 for delta in deltas if delta.finish is None)
