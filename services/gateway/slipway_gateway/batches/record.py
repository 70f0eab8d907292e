"""A batch as it is kept and as it is shown: its states, its times and its counts.

It knows OpenAI's batch object (https://platform.openai.com/docs/api-reference/batch/object). It refuses to know where batches are kept and who runs them.
"""

import secrets
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
"""What a line may ask for."""
WINDOW_SECONDS = 24 * 3600
"""OpenAI's only completion window."""

Status = Literal["validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelled"]
OVER = frozenset({"completed", "failed", "expired", "cancelled"})
_MAX_TOLD = 100


class Problem(BaseModel):
    """Why a batch or one of its lines cannot run. `line` counts from 1."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class Batch(BaseModel):
    """One batch. Times are Unix seconds. `key` is the digest of the key that pays for it; `cancelling_at`, `good`, `bad` and `size`
    (lines that went well and that did not, bytes of their results) are kept apart by the store, because others than the runner change them."""

    model_config = ConfigDict(frozen=True)

    id: str
    tenant: str
    key: str
    endpoint: str
    input_file_id: str
    status: Status = "validating"
    metadata: dict[str, str] | None = None
    problems: tuple[Problem, ...] = ()
    output_file_id: str | None = None
    error_file_id: str | None = None
    total: int = 0
    created_at: int
    expires_at: int
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelled_at: int | None = None
    ending: Status | None = None
    cancelling_at: int | None = None
    good: int = 0
    bad: int = 0
    size: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing about it will change any more."""
        return self.status in OVER

    def at(self, status: Status, now: int, **changes: Any) -> "Batch":
        """The same batch in `status` since `now`."""
        return self.model_copy(update={"status": status, f"{status}_at": now, **changes})

    def shape(self) -> dict[str, Any]:
        """OpenAI's batch object."""
        cancelling = self.cancelling_at is not None and not self.over
        told = [problem.model_dump() for problem in self.problems[:_MAX_TOLD]]
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": {"object": "list", "data": told} if told else None,
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": "cancelling" if cancelling else self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": self.created_at,
            "in_progress_at": self.in_progress_at,
            "expires_at": self.expires_at,
            "finalizing_at": self.finalizing_at,
            "completed_at": self.completed_at,
            "failed_at": self.failed_at,
            "expired_at": self.expired_at,
            "cancelling_at": self.cancelling_at,
            "cancelled_at": self.cancelled_at,
            "request_counts": {"total": self.total, "completed": self.good, "failed": self.bad},
            "metadata": self.metadata,
        }


def new_id() -> str:
    """A batch's id."""
    return f"batch_{secrets.token_hex(16)}"
