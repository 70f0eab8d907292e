"""Print a lock file without some of its packages: `python deploy/locked.py requirements/serve.lock --without llama-cpp-python`.

It knows the requirements format with hashes, where a package's lines follow its name. It refuses to resolve anything.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


def without(lines: Iterable[str], names: set[str]) -> Iterator[str]:
    """`lines` of a lock, less the blocks of the packages in `names`."""
    skipping = False
    for line in lines:
        if line and not line[0].isspace() and line[0] != "#":
            skipping = line.split("==")[0].strip() in names
        if not skipping:
            yield line


def main() -> None:
    parser = argparse.ArgumentParser(description="Print a lock file without some of its packages.")
    parser.add_argument("lock", type=Path)
    parser.add_argument("--without", nargs="*", default=[], help="package names to leave out")
    args = parser.parse_args()
    sys.stdout.writelines(without(args.lock.open(), set(args.without)))


if __name__ == "__main__":
    main()
