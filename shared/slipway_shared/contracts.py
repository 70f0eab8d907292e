"""The small JSON contracts between the gateway and the leaves: search, rerank, safety check.

Files and vector stores speak OpenAI's shapes on the same paths as outside, so the gateway relays them. It refuses to know who implements what.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from slipway_shared.dialect.chat import Wire

MAX_QUERY = 16384
DEFAULT_STORE = "default"
"""The name under which every tenant's first vector store is found; `vs_default` is its id."""
DEFAULT_STORE_ID = "vs_default"

SearchMode = Literal["hybrid", "dense", "bm25"]


class SearchRequest(Wire):
    """`POST /v1/search` of the retriever, for the tenant named in the header.

    `diversity` in [0, 1]: how much passages that are unlike those above them are preferred (maximal marginal relevance); None is the retriever's own setting.
    """

    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY)]
    vector_store_ids: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)] = (DEFAULT_STORE_ID,)
    top_k: Annotated[int, Field(ge=1, le=100)] = 20
    mode: SearchMode = "hybrid"
    filters: dict[str, Any] | None = None
    diversity: Annotated[float, Field(ge=0, le=1)] | None = None


class Passage(BaseModel):
    """A piece of a file. `start` and `end` are character offsets into the file's extracted text; `score` is in [0, 1], higher is better."""

    id: str
    file_id: str
    filename: str
    text: str
    score: float
    start: int = 0
    end: int = 0
    title: str = ""
    vector_store_id: str = DEFAULT_STORE_ID
    attributes: dict[str, Any] = Field(default_factory=dict)


class SearchResponse(BaseModel):
    passages: list[Passage]


class RerankRequest(Wire):
    """`POST /v1/rerank`, in the shape that Cohere and Jina share.

    `scores` (ours, optional): what the first stage gave each document, in [0, 1]; `/v1/search` gives such scores. Documents come in the first stage's order.
    """

    model: str | None = None
    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY)]
    documents: Annotated[list[Annotated[str, Field(max_length=65536)]], Field(min_length=1, max_length=256)]
    top_n: Annotated[int, Field(ge=1, le=256)] | None = None
    return_documents: bool = False
    scores: Annotated[list[Annotated[float, Field(ge=0, le=1, strict=True)]], Field(min_length=1, max_length=256)] | None = None

    @model_validator(mode="after")
    def _a_score_each(self) -> "RerankRequest":
        if self.scores is not None and len(self.scores) != len(self.documents):
            raise ValueError(f"scores has {len(self.scores)} entries for {len(self.documents)} documents; give one each, or leave it out")
        return self


class RerankResult(BaseModel):
    """`index` points into the request's documents; `relevance_score` is in [0, 1]. `truncated`: only a part of the document was read."""

    index: int
    relevance_score: float
    truncated: bool = False
    document: dict[str, str] | None = None


class RerankResponse(BaseModel):
    """`evidence` in [0, 1]: how likely the documents hold an answer to the query at all."""

    id: str
    model: str
    results: list[RerankResult]
    evidence: float


Side = Literal["input", "output"]
VerdictName = Literal["allow", "redact", "block"]


class CheckRequest(Wire):
    """`POST /v1/check` of the safety filter. `passages` are checked for injection only.

    `protected`: texts (system prompts) that an output must not repeat at length. `final`: no more text will follow this window of an output.
    `system`: character ranges of an input that the application's developer wrote (system messages), ascending and apart from each other; an attack in one
    has a category of its own, "injection.system" and its like.
    """

    text: Annotated[str, Field(max_length=1 << 20)]
    side: Side = "input"
    passages: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    protected: Annotated[tuple[Annotated[str, Field(max_length=1 << 16)], ...], Field(max_length=8)] = ()
    final: bool = True
    system: Annotated[tuple[tuple[int, int], ...], Field(max_length=1024)] = ()

    @model_validator(mode="after")
    def _ranges_stand_in_the_text(self) -> "CheckRequest":
        at = 0
        for start, end in self.system:
            if not at <= start <= end <= len(self.text):
                raise ValueError("system: the ranges must ascend and lie in the text")
            at = end
        return self


class Finding(BaseModel):
    """Why: `rule` names a pattern or a classifier; `start` and `end` are character offsets of the span; `action` is what the policy does about it."""

    category: str
    rule: str
    score: float = 1.0
    threshold: float = 0.5
    start: int = 0
    end: int = 0
    passage: int | None = None
    action: VerdictName = "allow"
    placeholder: str | None = Field(default=None, description="what stands for the span in the redacted text, where action is redact")


class CheckResponse(BaseModel):
    """`text` is the redacted text when the verdict is `redact`; `dropped` are the indices of passages that must not reach a prompt.

    `placeholders` maps each placeholder in `text` to what it stands for, so that the caller can restore it in the answer.
    `hold_from`: for an output window that is not final, the offset from which the text may be the beginning of an unfinished match; what stands
    before it can be released. It is never further than `max_match_chars` (`GET /v1/policy`) from the window's end.
    """

    verdict: VerdictName
    findings: list[Finding]
    text: str | None = None
    dropped: tuple[int, ...] = ()
    policy: str = "default"
    placeholders: dict[str, str] = Field(default_factory=dict)
    hold_from: int | None = None
