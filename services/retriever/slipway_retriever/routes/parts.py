"""What the routes stand on: the parts that the composition root put on the application, and the tenant of a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import Field, StringConstraints
from slipway_shared.context import RequestContext

from slipway_retriever.embed.batcher import Batcher
from slipway_retriever.ingest import Ingestion
from slipway_retriever.search import Searcher
from slipway_retriever.settings import RetrieverSettings
from slipway_retriever.store.paging import Page
from slipway_retriever.store.tenant import Tenant
from slipway_retriever.store.tenants import Tenants


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a route may need."""

    settings: RetrieverSettings
    tenants: Tenants
    batcher: Batcher
    ingestion: Ingestion
    searcher: Searcher


def parts(request: Request) -> Parts:
    """The service's parts."""
    found: Parts = request.app.state.parts
    return found


def tenant(request: Request) -> Tenant:
    """The tenant of this request, whose header the gateway has set."""
    context: RequestContext = request.state.context
    return parts(request).tenants.get(context.tenant)


def page(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[str, Query(pattern="^(asc|desc)$")] = "desc",
    after: Annotated[str | None, Query(max_length=64)] = None,
    before: Annotated[str | None, Query(max_length=64)] = None,
) -> Page:
    """OpenAI's paging parameters."""
    return Page(limit=limit, order="asc" if order == "asc" else "desc", after=after, before=before)


def list_body(data: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    """OpenAI's list object."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}


PartsOf = Annotated[Parts, Depends(parts)]
TenantOf = Annotated[Tenant, Depends(tenant)]
PageOf = Annotated[Page, Depends(page)]

Key = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Metadata = Annotated[Mapping[Key, Annotated[str, StringConstraints(max_length=512)]], Field(max_length=16)]
Attributes = Annotated[
    Mapping[Key, Annotated[str, StringConstraints(max_length=512)] | bool | Annotated[float, Field(allow_inf_nan=False)]],
    Field(max_length=16),
]
