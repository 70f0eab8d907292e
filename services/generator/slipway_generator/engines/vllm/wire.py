"""What vLLM's `/v1/completions` is sent and what its frames mean: token ids in, token ids out.

Prompts go as ids and answers come back as ids, so templates, tools, stop strings and the spelling of text stay the service's own and are the same for every
engine. It knows vLLM's field names (0.32) and refuses to know processes and connections.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slipway_shared import errors

from slipway_generator.engine import Constraint, GenerateRequest, TokenLogprob

MAX_LOGPROBS = 24
"""What the server is told to allow; ours end at 20, and one more is asked for than wanted."""
_TOKEN = "token_id:"  # noqa: S105 (vLLM's spelling of a token's number, no secret)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, or the whole answer: fresh tokens, their log-probabilities, and at the end the reason and what the prefix cache gave."""

    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]
    finish: str | None
    cached: int | None
    prompt_logprobs: tuple[TokenLogprob | None, ...] | None = None


def body_of(request: GenerateRequest, model: str, *, speculates: bool) -> dict[str, Any]:
    """The JSON to post; raises BadRequest for what vLLM cannot do while it speculates (it would ignore it)."""
    sampling = request.sampling
    if speculates and (sampling.min_p or sampling.logit_bias):
        name = "min_p" if sampling.min_p else "logit_bias"
        raise errors.BadRequest(f"{name} does not work while this pool speculates.", param=name, code="unsupported_parameter")
    stream = request.prompt_logprobs is None  # vLLM has no prompt log-probabilities in streams
    body: dict[str, Any] = {
        "model": request.adapter or model, "prompt": list(request.prompt), "max_tokens": max(1, request.max_tokens), "stream": stream,
        "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k, "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty, "frequency_penalty": sampling.frequency_penalty,
        "repetition_penalty": sampling.repetition_penalty, "priority": request.priority, "cache_salt": request.tenant,
        "request_id": request.id, "return_token_ids": True, "return_tokens_as_token_ids": True, "add_special_tokens": False,
    }  # fmt: skip
    if stream:
        body["stream_options"] = {"include_usage": True}
    else:
        body["prompt_logprobs"] = min(MAX_LOGPROBS, (request.prompt_logprobs or 0) + 1)
    if request.stops:
        body["stop"] = list(request.stops)
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.logit_bias:
        body["logit_bias"] = {str(token): value for token, value in sampling.logit_bias}
    if request.logprobs is not None:
        body["logprobs"] = request.logprobs + 1
    if request.constraint is not None:
        body["structured_outputs"] = structured(request.constraint)
    return body


def structured(constraint: Constraint) -> dict[str, Any]:
    """vLLM's `structured_outputs`; its guidance backend reads the same Lark dialect as our own masks."""
    match constraint.kind:
        case "json_schema":
            return {"json": json.loads(constraint.text)}
        case "regex":
            return {"regex": constraint.text}
        case "lark":
            return {"grammar": constraint.text}


def frame_of(event: Mapping[str, Any], request: GenerateRequest) -> Frame:
    """One event of a stream, or the object of a request that was not streamed."""
    choices = event.get("choices") or [{}]
    choice: Mapping[str, Any] = choices[0]
    tokens = tuple(int(token) for token in choice.get("token_ids") or ())
    usage = event.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    prompt = choice.get("prompt_logprobs")
    return Frame(
        tokens,
        _logprobs(choice.get("logprobs"), tokens, request.logprobs),
        choice.get("finish_reason"),
        int(details.get("cached_tokens") or 0) if usage else None,
        _prompt(prompt, request) if prompt is not None else None,
    )


def _logprobs(lists: Mapping[str, Any] | None, tokens: Sequence[int], wanted: int | None) -> tuple[TokenLogprob, ...]:
    if lists is None or wanted is None:
        return ()
    own, tops = lists.get("token_logprobs") or (), lists.get("top_logprobs") or ()
    out: list[TokenLogprob] = []
    for at, token in enumerate(tokens[: len(own)]):
        listed = [(_number(name), float(value)) for name, value in (tops[at] or {}).items()] if at < len(tops) else []
        out.append(TokenLogprob(token, float(own[at]), _best(listed, wanted)))
    return tuple(out)


def _prompt(rows: Sequence[Mapping[str, Any] | None], request: GenerateRequest) -> tuple[TokenLogprob | None, ...]:
    out: list[TokenLogprob | None] = []
    for token, row in zip(request.prompt, rows, strict=True):
        if row is None:
            out.append(None)
            continue
        listed = [(int(name), float(entry["logprob"])) for name, entry in row.items()]
        out.append(TokenLogprob(token, float(row[str(token)]["logprob"]), _best(listed, request.prompt_logprobs or 0)))
    return tuple(out)


def _best(listed: list[tuple[int, float]], count: int) -> tuple[tuple[int, float], ...]:
    """The likeliest `count`, best first: vLLM adds the sampled token in front, in whatever place it belongs."""
    return tuple(sorted(dict(listed).items(), key=lambda pair: -pair[1])[:count])


def _number(name: str) -> int:
    return int(name.removeprefix(_TOKEN))
