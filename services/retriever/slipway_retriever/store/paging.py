"""Pages of a list in OpenAI's form: a limit, an order by creation, and a row to start after or before. It refuses to know what the rows are."""

import sqlite3
from dataclasses import dataclass
from typing import Literal

from slipway_shared import errors

from slipway_retriever.store.tenant import Tenant

Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Page:
    """What a caller asked for."""

    limit: int = 20
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None
    before: str | None = None


def page(tenant: Tenant, select: str, where: str, values: tuple[Value, ...], wanted: Page, place_of: str) -> tuple[list[sqlite3.Row], bool]:
    """The rows, and whether more follow. `select` names a column `place` that grows with creation; `place_of` finds it for a caller's cursor.

    All SQL comes from the modules beside this one; a caller's values only ever travel as parameters.
    """
    up = wanted.order == "asc"
    conditions, bound = [f"({where})"], [*values]
    for cursor, beyond in ((wanted.after, up), (wanted.before, not up)):
        if cursor is not None:
            conditions.append(f"place {'>' if beyond else '<'} ?")
            bound.append(_place(tenant, place_of, values, cursor))
    sql = f"SELECT * FROM ({select}) WHERE {' AND '.join(conditions)} ORDER BY place {'ASC' if up else 'DESC'} LIMIT ?"  # noqa: S608
    rows = tenant.rows(sql, [*bound, wanted.limit + 1])
    return rows[: wanted.limit], len(rows) > wanted.limit


def _place(tenant: Tenant, place_of: str, values: tuple[Value, ...], cursor: str) -> int:
    row = tenant.row(place_of, [*values[: place_of.count("?") - 1], cursor])
    if row is None:
        raise errors.BadRequest("The cursor names nothing in this list.", param="after")
    return int(row[0])
