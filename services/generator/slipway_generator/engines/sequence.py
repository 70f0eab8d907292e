"""One request while it is generated: its tokens, how far the model has read them, its text, and what is owed to its caller.

It refuses to know libraries, batches and the event loop; an engine's own thread owns it and is the only one to call it (`cancelled` apart).
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from slipway_generator.engine import Counts, Delta, FinishReason, GenerateRequest, Timing, TokenLogprob
from slipway_generator.engines.drafting import NO_TOKENS, Pace, PromptLookup
from slipway_generator.masking import Mask
from slipway_generator.sampling import Row, Sampler, logprobs
from slipway_generator.spelling import Spelling

MAX_FORCED = 16
"""Tokens that a sequence may gain in one step where its constraint leaves no choice; more follow in the next."""

Deliver = Callable[["Sequence", Delta | Exception], None]
Salt = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a sequence needs of the model's vocabulary."""

    pieces: list[bytes]
    ends: frozenset[int]


@dataclass(eq=False)
class Sequence:
    """`tokens` holds prompt and answer; the model has read the first `done` of them, and of these the first `shared` for somebody else."""

    request: GenerateRequest
    vocabulary: Vocabulary
    deliver: Deliver
    mask: Mask | None = None
    lookup: PromptLookup | None = None
    pace: Pace | None = None
    arrived: float = field(default_factory=time.monotonic)
    cancelled: bool = False
    done: int = 0
    shared: int = 0
    generated: int = 0
    drafted: int = 0
    accepted: int = 0
    draft: NDArray[np.int32] = field(default_factory=lambda: NO_TOKENS)
    finish: FinishReason | None = None
    started: float | None = None
    first_token: float | None = None

    def __post_init__(self) -> None:
        request = self.request
        self.length = len(request.prompt)
        self.tokens = np.empty(self.length + request.max_tokens + 1, dtype=np.int32)
        self.tokens[: self.length] = request.prompt
        self.sampler = Sampler(request.sampling, request.prompt, len(self.vocabulary.pieces))
        self.spelling = Spelling(request.stops)
        self._forced: deque[int] = deque()
        self._sources: list[Row] = []
        self._judged: Pace | None = None
        self._foretold = NO_TOKENS
        self._fillers = 0
        self.prompt_logprobs: list[TokenLogprob | None] | None = [None] if request.prompt_logprobs is not None else None

    @property
    def salt(self) -> Salt:
        """What must be equal for two sequences to share cells."""
        return self.request.tenant, self.request.adapter

    @property
    def prefilling(self) -> bool:
        """Whether the model has not read the whole prompt yet."""
        return self.generated == 0 and self.done < len(self.request.prompt)

    @property
    def draws(self) -> bool:
        """Whether the next token is drawn from logits; not while tokens wait that the constraint left no choice about."""
        return not self._forced

    @property
    def room(self) -> int:
        """Tokens that a draft may have: never more than may still be generated and stored."""
        return self.request.max_tokens - self.generated - 1

    @property
    def speculates_by_chance(self) -> bool:
        """Whether drafts of a model are drawn by chance and verified by speculative sampling."""
        return self.request.sampling.temperature > 0.0 and not self.request.sampling.seeded and self.mask is None

    def propose(self) -> None:
        """Draft by prompt lookup what the next step shall verify along with the last token."""
        self.forget_draft()
        if self.lookup is not None and self.draws:
            self.draft = self.lookup.propose(self.tokens[: self.length], self.room)
            self._judged = self.lookup.pace

    @property
    def odds(self) -> float:
        """How often what lookup foretells comes true."""
        return self.lookup.odds if self.lookup is not None else 0.0

    def look_up(self, most: int) -> int:
        """How many tokens, up to `most`, prompt lookup foretells. Whether the first comes true is noted, drafted or not."""
        self.forget_draft()
        if self.lookup is not None:
            self._foretold = self.lookup.guess(self.tokens[: self.length], most)
        return len(self._foretold)

    def draft_foretold(self, count: int) -> None:
        """Let the next step verify exactly `count` tokens: what was foretold, and for the rest the last token again."""
        found = self._foretold[:count]
        self._fillers = count - len(found)
        self.draft = np.concatenate([found, np.full(self._fillers, self.tokens[self.length - 1], dtype=np.int32)])

    def draft_room(self) -> int:
        """How many tokens a draft model may write; 0 where lookup found some, or where it does not pay."""
        return self.pace.allowed(self.length, self.room) if self.pace is not None and self.draws and not len(self.draft) else 0

    def hold_draft(self, draft: NDArray[np.int32], sources: list[Row]) -> None:
        """Take a draft model's tokens, with the distributions that they were drawn from where they were."""
        self.draft, self._sources, self._judged = draft, sources, self.pace

    def forget_draft(self) -> None:
        """The next step verifies nothing."""
        self.draft, self._sources, self._judged = NO_TOKENS, [], None
        self._foretold, self._fillers = NO_TOKENS, 0

    def note_prompt(self, logits: NDArray[np.float32], start: int) -> None:
        """Keep the log-probabilities of the prompt tokens that follow the rows `start`, `start + 1`, ... of the prompt."""
        if self.prompt_logprobs is None:
            return
        prompt = self.request.prompt
        for offset, row in enumerate(logits):
            following = start + offset + 1
            if following < len(prompt):
                self.prompt_logprobs.append(logprobs(row, prompt[following], self.request.prompt_logprobs or 0))

    def take(self, logits: NDArray[np.float32], burst: int = MAX_FORCED) -> Delta:
        """Draw tokens from rows of logits: row 0 follows the last token, row i follows draft token i - 1 and counts only while drafts are right.

        What a constraint leaves no choice about is appended without a draw: `burst` tokens a step, along with the one that is drawn.
        Where such tokens are left from the last step, they come first and `logits` may be empty.
        """
        text: list[str] = []
        tokens: list[int] = []
        scores: list[TokenLogprob] = []
        for at, row in enumerate(logits if self.draws else ()):
            token = self._draw(row, at)
            if token in self.vocabulary.ends:
                self.finish = "stop"
                break
            self._append(token, row, tokens, scores)
            text.append(self.spelling.feed(self.vocabulary.pieces[token]))
            if self._ended() or at >= len(self.draft) or token != self.draft[at]:
                break
        self._settle(len(tokens))
        if tokens:
            self._foresee()
        self._force(tokens, text, max(burst, 1 - len(tokens)))
        if self.finish is not None:
            text.append(self.spelling.finish())
        return self._delta(text, tokens, scores)

    def empty(self) -> Delta:
        """The only delta of a request for zero tokens."""
        self.finish = "length"
        return self._delta([], [], [])

    def _draw(self, row: Row, at: int) -> int:
        if at < len(self._sources):
            token = self.sampler.verify(row, int(self.draft[at]), self._sources[at])
        elif self.mask is None:
            token = self.sampler.pick(row)
        else:
            token = self.sampler.pick(row, self.mask.allowed())
            self.mask.accept(token)
        self.sampler.accept(token)
        return token

    def _keep(self, token: int, tokens: list[int]) -> None:
        tokens.append(token)
        self.tokens[self.length] = token
        self.length += 1
        self.generated += 1

    def _append(self, token: int, row: Row, tokens: list[int], scores: list[TokenLogprob]) -> None:
        self._keep(token, tokens)
        if self.request.logprobs is not None:
            scores.append(logprobs(row, token, self.request.logprobs))
        if self.first_token is None:
            self.first_token = time.monotonic()

    def _foresee(self) -> None:
        """Ask the constraint what must come next, whatever the model thinks."""
        if self.mask is None or self.finish is not None or self.request.logprobs is not None:
            return
        for token in self.mask.forced()[:MAX_FORCED]:
            if token in self.vocabulary.ends:
                return
            self._forced.append(token)

    def _force(self, tokens: list[int], text: list[str], burst: int) -> None:
        """Append at most `burst` of what the constraint leaves no choice about: the model only reads it, along with the next step's token."""
        while self.mask is not None and self._forced and burst > 0 and self.finish is None:
            token = self._forced.popleft()
            self.mask.accept(token)
            self.sampler.accept(token)
            self._keep(token, tokens)
            text.append(self.spelling.feed(self.vocabulary.pieces[token]))
            self._ended()
            burst -= 1

    def _ended(self) -> bool:
        if self.spelling.stopped or (self.mask is not None and self.mask.closed()):
            self.finish = "stop"
        elif self.generated >= self.request.max_tokens:
            # A constrained answer that is complete at the very limit has stopped; one that is not was cut.
            self.finish = "stop" if self.mask is not None and self.mask.complete() else "length"
        return self.finish is not None

    def _settle(self, gained: int) -> None:
        """Account for the drafts of this step: all gained tokens but the last are drafts that were right, and stand in the KV memory."""
        right = min(len(self.draft), max(0, gained - 1))
        if len(self._foretold) and self.lookup is not None and gained:
            self.lookup.note(right=bool(self.tokens[self.length - gained] == self._foretold[0]))
        if len(self.draft):
            self.drafted += max(len(self.draft) - self._fillers, right)
            self.accepted += right
            if self._judged is not None:
                self._judged.judge(self.length, len(self.draft), right)
        self.done += right

    def _delta(self, pieces: list[str], tokens: list[int], scores: list[TokenLogprob]) -> Delta:
        text, places = "".join(pieces), max(1 + len(self.draft), len(tokens)) if self.request.stream else 1
        first = self.generated == len(tokens)
        prompt_logprobs = tuple(self.prompt_logprobs) if first and self.prompt_logprobs is not None else None
        if self.finish is None:
            spread = tuple(pieces) if places > 1 else ()
            return Delta(text, tuple(tokens), tuple(scores), prompt_logprobs=prompt_logprobs, places=places, pieces=spread)
        started = self.started or self.arrived
        timing = Timing(started - self.arrived, (self.first_token or time.monotonic()) - started)
        counts = Counts(len(self.request.prompt), self.generated, self.shared, self.drafted, self.accepted)
        return Delta(text, tuple(tokens), tuple(scores), self.finish, counts, timing, prompt_logprobs)
