"""The typed form of a generator's YAML: prompts, teacher, filters, safety, bounds.

It knows names, units, defaults and ranges. It refuses to know how anything is done. A teacher whose licence does not allow its output to be trained on has no
place here: `allows_training` must be stated.
"""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from slipway_training.data.mixture import Decontaminate, Dedup, Source

AnswerCheck = Literal["none", "number", "exact", "choice", "contains", "json"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Prompts(_Part):
    """What is asked. `source.text` is the user's message as a field or template; `expected` is where a verifiable answer stands."""

    source: Source
    system: str = ""
    template: Annotated[str, Field(description="around the source's text, at {text}")] = "{text}"
    expected: Annotated[str, Field(description="a field or template with the right answer; empty where there is none")] = ""

    @field_validator("template")
    @classmethod
    def _holds_text(cls, value: str) -> str:
        if "{text}" not in value:
            raise ValueError("the template must hold {text}")
        return value


class Teacher(_Part):
    """Who answers. Name, version and licence go into the provenance file and from there into model cards."""

    url: Annotated[str, Field(pattern=r"^https?://", description="base of an OpenAI-compatible API, such as http://127.0.0.1:8080/v1")]
    model: Annotated[str, Field(min_length=1)]
    version: Annotated[
        str, Field(min_length=1, description="release, revision or digest: what would be needed to ask the same teacher again")
    ]
    licence: Annotated[str, Field(min_length=2)]
    allows_training: Annotated[
        Literal[True], Field(description="the licence or terms allow training on its output; state it, or do not use it")
    ]
    key_variable: Annotated[str, Field(description="environment variable with the key; the key itself has no place in a file")] = ""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    max_tokens: Annotated[int, Field(ge=1, le=32768)] = 512
    samples: Annotated[int, Field(ge=1, le=32, description="answers asked for each prompt; the first that passes every filter is kept")] = 1
    extra: Annotated[dict[str, str | int | float | bool], Field(description="further fields of the request body")] = {}


class Filters(_Part):
    """What an answer must be. Applied in the order of the fields; the first that fails names the reason."""

    finish: Annotated[bool, Field(description="only answers that ended by themselves (finish_reason stop)")] = True
    characters: tuple[int, int] = (1, 8000)
    words: tuple[int, int] = (1, 2000)
    must_match: Annotated[str, Field(description="a regular expression that must be found")] = ""
    must_not_match: tuple[str, ...] = (r"(?i)\bas an ai\b", r"(?i)\bi(?: am|'m) (?:sorry|unable)\b", r"(?i)\blanguage model\b")
    languages: Annotated[tuple[str, ...], Field(description="ISO 639-1; empty means every language")] = ()
    answer: Annotated[AnswerCheck, Field(description="how the answer is compared with `prompts.expected`")] = "none"
    dedup: Dedup = Dedup()
    decontaminate: Decontaminate = Decontaminate()

    @field_validator("must_match", "must_not_match")
    @classmethod
    def _compiles(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for pattern in (value,) if isinstance(value, str) else value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return value


class Safety(_Part):
    """Checks of this generator. Local rules always hold; with `moderation_url` every pair of prompt and answer also passes a moderation model."""

    moderation_url: Annotated[
        str, Field(description="base of an API with /moderations, such as our gateway's http://127.0.0.1:8080/v1")
    ] = ""
    moderation_model: str = ""
    key_variable: str = ""
    refuse_pii: Annotated[bool, Field(description="an answer with personal data or a credential is dropped, not scrubbed")] = True
    denylist: Annotated[tuple[str, ...], Field(description="words or phrases that no answer may hold, in any case")] = ()


class Bounds(_Part):
    """What a run may cost at most."""

    prompts: Annotated[int, Field(ge=0, description="0 means all")] = 0
    tokens: Annotated[
        int, Field(ge=0, description="of the teacher, prompt and answer together; the run ends when they are spent; 0: no bound")
    ] = 0
    concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    attempts: Annotated[int, Field(ge=1, le=20)] = 5
    timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    longest_wait_seconds: Annotated[float, Field(gt=0, description="of one back-off; a longer Retry-After is cut to it")] = 30.0
    failures_in_a_row: Annotated[int, Field(ge=1, description="so many prompts without an answer, and the run stops")] = 20


class SynthConfig(_Part):
    """The whole file: `python -m slipway_training data synth CONFIG.yaml`."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    out: str = "runs/synth"
    seed: int = 17
    prompts: Prompts
    teacher: Teacher
    filters: Filters = Filters()
    safety: Safety = Safety()
    bounds: Bounds = Bounds()
