"""The policy: one table from category to threshold and action on each side, per tenant, versioned.

It knows how a table is read, overlaid and named. It refuses to know detectors: a category is a name with dots, and the most specific row wins.
"""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from slipway_shared.contracts import Side, VerdictName

MAX_POLICY_BYTES = 1 << 20
Score = Annotated[float, Field(ge=0.0, le=1.0)]


class PolicyError(Exception):
    """A policy file that cannot be used; the message says where and why."""


class Row(BaseModel):
    """What happens to a finding of a category that reaches the threshold, in a prompt and in an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: Score
    input: VerdictName
    output: VerdictName


class RowChange(BaseModel):
    """The fields of a row that a tenant changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: Score | None = None
    input: VerdictName | None = None
    output: VerdictName | None = None


class Change(BaseModel):
    """What a tenant changes. `allow` lists literal values that are never a finding, such as its own support address.

    `mode` monitor: findings are reported and counted, nothing is redacted or blocked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["enforce", "monitor"] | None = None
    categories: dict[str, RowChange] = Field(default_factory=dict)
    allow: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field(max_length=1024)] = ()


class PolicyFile(BaseModel):
    """The settings file: a change for everybody, and one per tenant on top of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    default: Change = Change()
    tenants: dict[str, Change] = Field(default_factory=dict)


DEFAULT_TABLE: dict[str, Row] = {
    "pii": Row(threshold=0.5, input="allow", output="allow"),
    "pii.card": Row(threshold=0.5, input="allow", output="redact"),
    "pii.iban": Row(threshold=0.5, input="allow", output="redact"),
    "pii.ssn": Row(threshold=0.5, input="allow", output="redact"),
    "pii.national_id": Row(threshold=0.5, input="allow", output="redact"),
    "pii.passport": Row(threshold=0.5, input="allow", output="redact"),
    "secret": Row(threshold=0.5, input="allow", output="redact"),
    "injection": Row(threshold=0.6, input="block", output="allow"),
    "jailbreak": Row(threshold=0.6, input="block", output="allow"),
    "prompt_extraction": Row(threshold=0.6, input="block", output="allow"),
    "injection.system": Row(threshold=0.9, input="allow", output="allow"),
    "jailbreak.system": Row(threshold=0.9, input="allow", output="allow"),
    "prompt_extraction.system": Row(threshold=0.9, input="allow", output="allow"),
    "prompt_leak": Row(threshold=0.75, input="allow", output="block"),
    "harm": Row(threshold=0.8, input="allow", output="allow"),
    "own": Row(threshold=0.5, input="block", output="block"),
}
"""Thresholds of attacks and harm are operating points of docs/safety.md. `injection.passage` and its like are the rows for retrieved text, `injection.system`
and its like those for system messages: the developer's own words, which are watched and not refused."""


class Policy(BaseModel):
    """One tenant's whole table. `id` names it in verdicts and in the audit stream."""

    model_config = ConfigDict(frozen=True)

    name: str
    mode: Literal["enforce", "monitor"] = "enforce"
    categories: dict[str, Row]
    allow: frozenset[str] = frozenset()

    @cached_property
    def version(self) -> str:
        """The first twelve hex digits of the table's SHA-256."""
        document = self.model_dump(mode="json") | {"allow": sorted(self.allow)}
        return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]

    @cached_property
    def id(self) -> str:
        return f"{self.name}@{self.version}"

    def row(self, category: str) -> Row:
        """The most specific row for `category`: itself, else its parents ("pii.email", then "pii")."""
        name = category
        while name not in self.categories and "." in name:
            name = name.rpartition(".")[0]
        return self.categories[name]

    def action(self, category: str, side: Side) -> VerdictName:
        """What is done about a finding of `category` on `side`."""
        if self.mode == "monitor":
            return "allow"
        row = self.row(category)
        return row.input if side == "input" else row.output


class Policies:
    """The policy of every tenant; tenants that the file does not name share the default one."""

    def __init__(self, table: dict[str, Row], file: PolicyFile | None = None) -> None:
        file = file or PolicyFile()
        self.default = _changed(Policy(name="default", categories=table), file.default, "default")
        self._tenants = {tenant: _changed(self.default, change, tenant) for tenant, change in file.tenants.items()}

    def of(self, tenant: str) -> Policy:
        """The policy that holds for `tenant`."""
        return self._tenants.get(tenant, self.default)


def read(path: Path | None, table: dict[str, Row]) -> Policies:
    """The policies of the file at `path` (none: the built-in table alone); raises PolicyError."""
    if path is None:
        return Policies(table)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}") from error
    if len(raw) > MAX_POLICY_BYTES:
        raise PolicyError(f"{path} is larger than {MAX_POLICY_BYTES} bytes")
    try:
        return Policies(table, PolicyFile.model_validate_json(raw))
    except ValidationError as error:
        first = error.errors()[0]
        raise PolicyError(f"{path}: {'.'.join(map(str, first['loc'])) or 'document'}: {first['msg']}") from error


def _changed(base: Policy, change: Change, name: str) -> Policy:
    rows = dict(base.categories)
    for category, row in change.categories.items():
        root = category.partition(".")[0]
        if root not in {known.partition(".")[0] for known in rows}:
            raise PolicyError(f"policy {name}: there is no category {category!r}")
        parent = Policy(name=name, categories=rows).row(category)
        rows[category] = parent.model_copy(update={k: v for k, v in row.model_dump().items() if v is not None})
    return Policy(name=name, mode=change.mode or base.mode, categories=rows, allow=base.allow | frozenset(change.allow))
