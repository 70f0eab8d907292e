"""A batch's files: the input is read from the retriever, which keeps /v1/files, and the results become files there.

The retriever gives the same id to the same bytes under the same name, so a result that is written again after a crash is still one file.
"""

import secrets
from collections.abc import AsyncIterator

import orjson
from slipway_shared import errors
from slipway_shared.context import RequestContext

from slipway_gateway.upstream import Upstream

PURPOSE = "batch_output"


class BatchFiles:
    """Reads and writes files of the tenant that a context names. Raises Overloaded where there is no retriever."""

    def __init__(self, retriever: Upstream | None, max_bytes: int) -> None:
        self._retriever = retriever
        self._max_bytes = max_bytes

    async def check(self, file_id: str, context: RequestContext) -> None:
        """Raises BadRequest unless this is a file that a batch can be made of."""
        try:
            file = orjson.loads(await self._present().get(f"/v1/files/{file_id}", context))
        except errors.NotFound:
            raise errors.NotFound("There is no such file.", param="input_file_id", code="file_not_found") from None
        if file.get("purpose") != "batch":
            raise errors.BadRequest('The input file must have been uploaded with purpose "batch".', param="input_file_id")
        if int(file.get("bytes") or 0) > self._max_bytes:
            raise errors.TooLarge(f"An input file has at most {self._max_bytes} bytes; make several batches.", param="input_file_id")

    async def read(self, file_id: str, context: RequestContext) -> bytes:
        """The whole input."""
        return await self._present().get(f"/v1/files/{file_id}/content", context)

    async def write(self, name: str, lines: AsyncIterator[bytes], context: RequestContext) -> str | None:
        """The id of a file of `lines`; None when there are none."""
        first = await anext(lines, None)
        if first is None:
            return None
        boundary = secrets.token_hex(16)

        async def form() -> AsyncIterator[bytes]:
            yield f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\n{PURPOSE}\r\n'.encode()
            head = f'content-disposition: form-data; name="file"; filename="{name}"\r\ncontent-type: application/jsonl'
            yield f"--{boundary}\r\n{head}\r\n\r\n".encode()
            yield first
            async for line in lines:
                yield line
            yield f"\r\n--{boundary}--\r\n".encode()

        retriever = self._present()
        headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
        async with retriever.open("POST", "/v1/files", form(), context, headers=headers) as response:
            return str(orjson.loads(await retriever.read(response))["id"])

    def _present(self) -> Upstream:
        if self._retriever is None:
            raise errors.Overloaded("This installation has no retriever, and so no files.", code="retriever_unavailable")
        return self._retriever
