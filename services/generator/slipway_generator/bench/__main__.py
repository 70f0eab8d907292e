"""`python -m slipway_generator.bench --model FOLDER [--llama-server PATH]`: measure, print the table, write JSON and SVG."""

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from slipway_shared import manifest

from slipway_generator.bench import peers, report
from slipway_generator.bench.cases import all_cases
from slipway_generator.bench.measure import Round, run_round


def main() -> int:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(prog="slipway_generator.bench", description=(__doc__ or "").split(": ")[1])
    parser.add_argument("--model", type=Path, default=Path("models/slipway-reader-llama/int8"), help="folder of a GGUF or an ONNX flavor")
    parser.add_argument(
        "--llama-server", type=Path, default=os.environ.get("LLAMA_SERVER"), help="its binary (or LLAMA_SERVER); none: ours alone"
    )
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--cases", nargs="+", help="only these")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--without", action="store_true", help="also run ours without drafts, prefix cache and ONNX batches")
    parser.add_argument("--draft", type=Path, help="folder of a draft model; ours is then run with it and without")
    parser.add_argument("--no-lookup", action="store_true", help="no drafts by prompt lookup: the draft model alone")
    parser.add_argument("--out", type=Path, default=Path(".slipway/bench"))
    return asyncio.run(_main(parser.parse_args()))


async def _main(asked: argparse.Namespace) -> int:
    verified = manifest.load_verified(asked.model)
    if verified.manifest.engine not in ("llamacpp", "onnx") or (verified.manifest.engine == "onnx" and (asked.llama_server or asked.draft)):
        sys.stderr.write("the benchmark takes a GGUF flavor, or an ONNX flavor without --llama-server and --draft\n")
        return 2
    measured: dict[report.Key, list[Round]] = {}
    async with contextlib.AsyncExitStack() as stack:
        running = [await stack.enter_async_context(peer) for peer in _peers(asked, verified)]
        # A connection each: one that idles while another peer is measured may be closed by its server just when it is used again.
        connector = aiohttp.TCPConnector(force_close=True)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=600)))
        cases = all_cases(tuple(asked.streams), asked.tokens, await _ends(session, running[0]))
        for case in cases:
            if asked.cases and case.name not in asked.cases:
                continue
            for number in range(asked.rounds + 1):
                # Who goes first alternates; round 0 warms up and is not counted.
                for peer in running if number % 2 else running[::-1]:
                    done = await run_round(session, peer, case, number)
                    if number:
                        measured.setdefault((case.name, case.streams, peer.name), []).append(done)
                # After each round, so that a run that is cut short leaves what it has measured.
                _write(asked.out, report.summary(measured, running[-1].name), verified.digest)
    sys.stdout.write((asked.out / "generator.md").read_text() + f"\n{asked.out}/generator.json, .md, .svg\n")
    return 0


def _peers(asked: argparse.Namespace, verified: manifest.VerifiedModel) -> Iterator[contextlib.AbstractAsyncContextManager[peers.Peer]]:
    """Ours first; ratios are to the last."""
    most = max(asked.streams)
    usual = {"served_name": "bench", **({"prompt_lookup": "false"} if asked.no_lookup else {})}
    yield peers.ours(asked.model, most, asked.threads, **usual, **({"draft_model": str(asked.draft)} if asked.draft else {}))
    if asked.draft:
        yield peers.ours(asked.model, most, asked.threads, "slipway-no-draft", **usual)
    if asked.without:
        off = {"speculate": "false", "prefix_entries": "0", "onnx_batch": "1"}
        yield peers.ours(asked.model, most, asked.threads, "slipway-plain", **usual, **off)
    if asked.llama_server:
        yield peers.llama_server(asked.llama_server, verified.entry, most, asked.threads, verified.manifest.context_tokens)


async def _ends(session: aiohttp.ClientSession, peer: peers.Peer) -> dict[str, int]:
    """A bias against the tokens that end an answer, so that every peer generates as many as it is asked for."""
    bias: dict[str, int] = {}
    for spelled in ("<|end|>", "<|im_end|>", "<|endoftext|>", "</s>", "<|eot_id|>"):
        async with session.post(f"{peer.base}/tokenize", json={"prompt": spelled, "special": True}) as response:
            tokens = (await response.json()).get("tokens", [])
        if len(tokens) == 1:
            bias[str(tokens[0])] = -100
    return bias


def _write(out: Path, rows: list[dict[str, object]], digest: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "generator.json").write_text(json.dumps({"model": digest, "rows": rows}, indent=1) + "\n")
    (out / "generator.md").write_text(report.table(rows))
    (out / "generator.svg").write_text(report.plot(rows))


if __name__ == "__main__":
    sys.exit(main())
