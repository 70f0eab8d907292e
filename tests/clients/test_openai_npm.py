"""The `openai` package of npm, of the version that package-lock.json pins by hash, against the real parts. Installed once, into pytest's cache."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("node") is None or shutil.which("npm") is None, reason="node and npm are not installed"),
]
HERE = Path(__file__).parent / "npm"


@pytest.fixture(scope="module")
def installed(request: pytest.FixtureRequest) -> Path:
    """A folder with the script beside its node_modules."""
    lock = (HERE / "package-lock.json").read_bytes()
    folder = Path(request.config.cache.mkdir(f"npm-{hashlib.sha256(lock).hexdigest()[:16]}"))  # type: ignore[union-attr]
    for name in ("package.json", "package-lock.json", "client.mjs"):
        shutil.copy(HERE / name, folder / name)
    if not (folder / "node_modules" / ".package-lock.json").exists():
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
    return folder


def test_the_lock_names_no_host() -> None:
    lock = json.loads((HERE / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages and all("resolved" not in package and package["integrity"].startswith("sha512-") for package in packages.values())


def test_every_part_of_the_surface(installed: Path, house: Any) -> None:
    environ = {
        **os.environ, "BASE_URL": f"{house.url}/v1", "PLANNER_URL": f"{house.planner_url}/v1", "API_KEY": house.key, "MODEL": house.model,
        "PLANNER": house.planner,
    }  # fmt: skip
    done = subprocess.run(["node", "client.mjs"], cwd=installed, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    assert house.model in seen["models"]
    assert seen["streamed"] == seen["whole"] and seen["whole"]
    # Not the details: the second call finds its prompt in the cache.
    assert all(seen["streamedUsage"][name] == seen["usage"][name] > 0 for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    assert seen["tool"] == "The answer is 42."
    assert seen["events"][0] == "response.created" and seen["events"][-1] == "response.completed"
    assert seen["response"] == "You said: My name is Ada."
    assert (seen["dimensions"], seen["moderation"]) == (384, False)
    assert seen["filed"]["completed"] == 1 and "1712" in seen["found"]
    assert (seen["batch"]["completed"], seen["output"]) == (1, "one")
    assert seen["error"] == ["NotFoundError", 404, "model_not_found"]
