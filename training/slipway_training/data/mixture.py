"""The typed form of a mixture YAML: sources with their licence and weight, and what is done with their text.

It knows names, units, defaults and ranges. It refuses to know how anything is done; `data prepare` reads it, and so does the tokenizer recipe.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]
Format = Literal["jsonl", "json", "text", "parquet", "dataset", "invented"]
SECRETS = ("key", "secret", "token", "password", "credential")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reading(_Part):
    """Where text lies and how it is read. Used for training sources and for evaluation sets alike."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    url: Annotated[
        str,
        Field(
            min_length=1,
            description="path, glob or fsspec URL: s3://..., memory://..., zip://*.txt::file.zip; invented:COUNT/SEED makes prose up",
        ),
    ]
    format: Format = "jsonl"
    text: Annotated[str, Field(description='a field ("text", "page.body") or a template with fields ("{question}\\n{answer}")')] = "text"
    split: Annotated[
        Literal["file", "lines", "blocks"], Field(description="text files: one document a file, a line, or a block of paragraphs")
    ] = "blocks"
    block_characters: Annotated[int, Field(ge=200, le=1_000_000, description="a block ends at the first paragraph that passes this")] = 4000
    max_line_bytes: Annotated[int, Field(ge=1000, le=1 << 30, description="longer lines are passed over and counted")] = 8 << 20
    max_characters: Annotated[int, Field(ge=100, description="longer documents are cut into pieces of this size")] = 400_000
    max_documents: Annotated[Count, Field(description="0 means all")] = 0
    storage: Annotated[
        dict[str, str | int | bool | dict[str, str]],
        Field(description="options of the file system, never secrets: those come from its environment"),
    ] = {}

    @field_validator("storage")
    @classmethod
    def _no_secrets(cls, value: dict[str, str | int | bool | dict[str, str]]) -> dict[str, str | int | bool | dict[str, str]]:
        if bad := [k for k in value if any(s in k.lower() for s in SECRETS)]:
            raise ValueError(f"{bad[0]!r} looks like a secret; file systems read theirs from the environment (AWS_ACCESS_KEY_ID, ...)")
        return value


class Source(Reading):
    """One source of training text. Its licence is required: what nobody can name is not trained on."""

    licence: Annotated[str, Field(min_length=2, description='as it is carried to model cards, such as "CC BY 4.0"')]
    attribution: str = ""
    weight: Annotated[float, Field(gt=0, description="its share of the tokens, against the other weights")] = 1.0
    domain: Annotated[str, Field(min_length=1, description="groups sources in the audit, such as textbook or web")] = "text"
    quality: Annotated[
        bool, Field(description="apply the quality rules; off for text that is no prose, such as word problems or tables")
    ] = True


class Cleaning(_Part):
    """What is repaired and refused before any counting. Languages are ISO 639-1; empty means every language."""

    repair: Annotated[bool, Field(description="ftfy: mojibake, entities, line ends, control characters")] = True
    languages: tuple[str, ...] = ("en",)
    language_share: Annotated[Share, Field(description="langdetect's probability that is wanted of one of them")] = 0.5
    language_characters: Annotated[int, Field(ge=50, le=20000, description="so much of a document's beginning is looked at")] = 800
    pii: Annotated[bool, Field(description="put placeholders for mail, phone, card, account and network addresses and for credentials")] = (
        True
    )


class Quality(_Part):
    """Limits of the Gopher rules (Rae et al. 2021, arXiv 2112.11446, table A1 and section A.1.1) and of C4 (Raffel et al. 2020, arXiv 1910.10683)."""

    min_words: Count = 50
    max_words: Count = 100_000
    mean_word_length: tuple[float, float] = (3.0, 10.0)
    max_symbol_share: Annotated[Share, Field(description="hashes and ellipses to words")] = 0.1
    max_bullet_lines: Share = 0.9
    max_ellipsis_lines: Share = 0.3
    min_alphabetic_words: Share = 0.8
    min_stop_words: Count = 2
    max_duplicate_lines: Share = 0.30
    max_duplicate_paragraphs: Share = 0.30
    max_duplicate_line_characters: Share = 0.20
    max_duplicate_paragraph_characters: Share = 0.20
    max_top_ngram: Annotated[dict[int, Share], Field(description="n: share of characters in the most frequent n-gram")] = {
        2: 0.20,
        3: 0.18,
        4: 0.16,
    }
    max_duplicate_ngrams: Annotated[dict[int, Share], Field(description="n: share of characters in n-grams that occur again")] = {
        5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10,
    }  # fmt: skip
    refuse_phrases: tuple[str, ...] = ("lorem ipsum", "enable javascript", "javascript is disabled")


class Dedup(_Part):
    """Exact copies, and near copies by MinHash with banding, each candidate checked by the Jaccard index of its word shingles."""

    exact: bool = True
    near: bool = True
    threshold: Annotated[float, Field(ge=0.3, le=1.0, description="Jaccard index from which two documents are one")] = 0.8
    shingle_words: Annotated[int, Field(ge=1, le=20)] = 5
    permutations: Annotated[int, Field(ge=16, le=1024)] = 128


class Decontaminate(_Part):
    """Documents that hold a run of words of an evaluation item are removed (13 words: Brown et al. 2020, arXiv 2005.14165, appendix C)."""

    ngram_words: Annotated[int, Field(ge=4, le=50)] = 13
    evals: tuple[Reading, ...] = ()


class MixtureConfig(_Part):
    """The whole file: `python -m slipway_training data prepare MIXTURE.yaml`."""

    name: str = "mixture"
    seed: int = 17
    context: Annotated[int, Field(ge=8, le=131072, description="tokens of a row")] = 512
    tokens: Annotated[Count, Field(description="tokens of the mixture; 0 means as many as go without repeating any source")] = 0
    max_repeats: Annotated[
        float,
        Field(ge=1, le=64, description="no source is seen more often; up to 4 costs little (Muennighoff et al. 2023, arXiv 2305.16264)"),
    ] = 4.0
    end_token: str = "<|end|>"  # noqa: S105 - a token of the vocabulary
    stages: Annotated[
        tuple[int, ...],
        Field(description="curriculum: a stage takes documents of up to so many tokens, shortest first; the last takes the rest (0)"),
    ] = (0,)
    shard_rows: Annotated[int, Field(ge=1, le=1 << 20)] = 4096
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    cleaning: Cleaning = Cleaning()
    quality: Quality = Quality()
    dedup: Dedup = Dedup()
    decontaminate: Decontaminate = Decontaminate()

    @model_validator(mode="after")
    def _fits(self) -> "MixtureConfig":
        names = [s.name for s in self.sources]
        if len(set(names)) != len(names):
            raise ValueError("two sources have one name")
        bounds = self.stages[:-1]
        if not self.stages or self.stages[-1] != 0 or list(bounds) != sorted(set(bounds)) or any(b < 1 for b in bounds):
            raise ValueError("stages ascend and end with 0, such as [128, 512, 0]")
        return self
