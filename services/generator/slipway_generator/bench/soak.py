"""Memory over many requests: `python -m slipway_generator.bench.soak --model FOLDER --requests 10000`.

Every tenth request is bad or is abandoned, because that is where servers leak. It prints resident memory at each tenth of the way and fails when the second half
grew by more than `--slack-mb`. It refuses to judge answers.
"""

import argparse
import asyncio
import contextlib
import sys
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

from slipway_generator.bench import peers
from slipway_generator.bench.cases import prose

ABANDON_SECONDS = 0.02


def main() -> int:
    """Run and say whether memory is flat."""
    parser = argparse.ArgumentParser(prog="slipway_generator.bench.soak", description=(__doc__ or "").split(": ")[0])
    parser.add_argument("--model", type=Path, default=Path("models/slipway-reader/int8"), help="folder of a flavor")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--slack-mb", type=float, default=2.0, help="growth of the second half that still counts as flat")
    return asyncio.run(_main(parser.parse_args()))


async def _main(asked: argparse.Namespace) -> int:
    seen: list[float] = []
    async with peers.ours(asked.model, asked.streams, 1, served_name="bench") as peer, aiohttp.ClientSession() as session:
        for tenth in range(10):
            numbers = count(tenth * (asked.requests // 10))
            left = [asked.requests // 10]
            await asyncio.gather(*(_worker(session, peer, numbers, left) for _ in range(asked.streams)))
            seen.append(peer.resident_bytes() / 1e6)
            sys.stdout.write(f"{(tenth + 1) * (asked.requests // 10):>8} requests  {seen[-1]:8.1f} MB\n")
            sys.stdout.flush()
    growth = seen[-1] - seen[4]
    sys.stdout.write(f"growth of the second half: {growth:+.1f} MB\n")
    return int(growth > asked.slack_mb)


async def _worker(session: aiohttp.ClientSession, peer: peers.Peer, numbers: Any, left: list[int]) -> None:
    while left[0] > 0:
        left[0] -= 1
        number = next(numbers)
        patience = ABANDON_SECONDS if number % 20 == 10 else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience), session.post(f"{peer.base}/v1/completions", json=_body(number)) as response:
                await response.read()
                wanted = 400 if number % 20 == 0 else 200
                if response.status != wanted:
                    raise peers.PeerFailed(f"request {number} was answered with {response.status}, not {wanted}")


def _body(number: int) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": "bench",
        "prompt": prose(20 + number % 17, seed=number),
        "max_tokens": 2 + number % 5,
        "stream": number % 3 == 0,
    }
    return {**body, "max_tokens": -1} if number % 20 == 0 else body


if __name__ == "__main__":
    sys.exit(main())
