"""What the processor's own meter says was used: RAPL package domains, where the kernel lets this user read them.

The meter counts the whole package, not this process; where there is none, CPU seconds stand in and are labelled as such. It refuses to know metrics.
"""

from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


@dataclass
class _Domain:
    meter: Path
    wraps_at: int
    last: int


class Rapl:
    """Joules since the meter was made. `domains` is empty where nothing can be read."""

    def __init__(self, root: Path = POWERCAP) -> None:
        self.domains: list[_Domain] = []
        # `intel-rapl:0` is a package; `intel-rapl:0:1` is a part of it and would be counted twice.
        for folder in sorted(root.glob("*-rapl:[0-9]*")):
            if folder.name.count(":") == 1 and (now := _read(folder / "energy_uj")) is not None:
                self.domains.append(_Domain(folder / "energy_uj", _read(folder / "max_energy_range_uj") or 1 << 32, now))

    def gained(self) -> float:
        """Joules since the last call; a counter that wrapped is counted on."""
        total = 0
        for domain in self.domains:
            now = _read(domain.meter)
            if now is not None:
                total += (now - domain.last) % (domain.wraps_at + 1)
                domain.last = now
        return total / 1e6


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
