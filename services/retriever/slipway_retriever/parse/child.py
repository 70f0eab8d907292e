"""`python -m slipway_retriever.parse.child`: the parser process. It reads requests from stdin and writes documents to stdout until stdin ends.

It limits its own memory before it reads anything. It refuses to know the database: a path comes in, text goes out.
"""

import logging
import resource
import sys
import warnings
from pathlib import Path

from slipway_retriever.parse import frames
from slipway_retriever.parse.document import Bounds, ParseError
from slipway_retriever.parse.formats import parse


def main() -> None:
    """Serve until the parent closes the pipe, or is gone."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    while True:
        try:
            request = frames.read(requests)
        except frames.Closed:
            return
        frames.write(answers, _answer(request))


def _answer(request: dict[str, frames.Value]) -> dict[str, frames.Value]:
    try:
        bounds = Bounds(max_chars=int(str(request["max_chars"])), max_pages=int(str(request["max_pages"])))
        document = parse(str(request["filename"]), Path(str(request["path"])).read_bytes(), bounds)
    except ParseError as error:
        return {"code": error.code, "message": error.message}
    except MemoryError:
        return {"code": "unsupported_file", "message": "Reading the file needs more memory than is allowed for one file."}
    except RecursionError:
        return {"code": "unsupported_file", "message": "The file is nested too deeply."}
    except Exception as error:  # noqa: BLE001 the edge of the process: third-party parsers raise anything on hostile files
        return {"code": "invalid_file", "message": f"The file is damaged or not what its name says ({type(error).__name__})."}
    text = document.text.encode("utf-8", "replace").decode("utf-8")
    return {"text": text, "sections": [[s.title, s.start, s.end, s.kind] for s in document.sections]}


if __name__ == "__main__":
    main()
