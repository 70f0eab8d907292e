"""Rules about the repository itself: what may be in it, and what may not."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from slipway_shared import manifest

ROOT = Path(__file__).parent.parent
MODELS_BUDGET_BYTES = 40_000_000
# Hosts of package registries, in pieces so that this file holds none itself.
REGISTRY_HOSTS = re.compile(
    r"(?i)\b("
    + "|".join([r"pypi" + r"\.org", r"python" + r"hosted\.org", r"registry\.npm" + r"js\.org", r"deb\.debian" + r"\.org"])
    + r")\b"
)
LOCKS = ["requirements/all.lock", "requirements/serve.lock", "requirements/bootstrap.lock", "deploy/llamacpp.lock"]


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_registrys_host_or_a_path_of_somebodys_machine() -> None:
    for path in tracked():
        text = path.read_bytes().decode(errors="replace")
        assert not REGISTRY_HOSTS.search(text), path
        assert not re.search(r"(?<![\w.])/(work|root)/", text), path


def test_nothing_that_unpickles_is_tracked() -> None:
    assert not [path for path in tracked() if path.suffix in {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy"}]


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_a_version_and_hashes(name: str) -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", re.sub("^#.*\n", "", (ROOT / name).read_text()).strip(), flags=re.IGNORECASE)
    assert blocks
    for block in blocks:
        assert re.match(r"[A-Za-z0-9._-]+==\S+", block), block[:80]
        assert "--hash=sha256:" in block, block[:80]


def test_the_serving_lock_is_a_part_of_the_whole() -> None:
    def names(lock: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+==[^ ]+)", (ROOT / "requirements" / lock).read_text(), flags=re.MULTILINE))

    assert names("serve.lock") <= names("all.lock")


def test_no_installed_package_runs_code_at_interpreter_start() -> None:
    # A .pth line that begins with "import" runs in every Python process; that is how backdoored releases of litellm started (1.82.7, 1.82.8).
    ours = re.compile(r"^(_editable_impl_)?slipway[_-]|^distutils-precedence\.pth$|^_virtualenv\.pth$|^a1_coverage\.pth$")
    for distribution in importlib.metadata.distributions():
        for file in distribution.files or []:
            if file.suffix == ".pth" and len(file.parts) == 1 and not ours.search(file.name):
                lines = Path(str(distribution.locate_file(file))).read_text().splitlines()
                assert not [line for line in lines if line.startswith("import")], f"{distribution.name}: {file}"


def test_the_embedded_models_are_small_and_as_their_manifests_say() -> None:
    root = ROOT / "models"
    assert sum(path.stat().st_size for path in tracked() if path.is_relative_to(root)) <= MODELS_BUDGET_BYTES
    flavors = manifest.find_flavors(root)
    assert {manifest.load_verified(folder).manifest.engine for folder in flavors} >= {"llamacpp", "onnx"}


def test_every_relative_link_in_the_docs_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "training").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_no_code_file_is_longer_than_it_can_be_read() -> None:
    long = {
        str(p.relative_to(ROOT)): n
        for p in tracked()
        if p.suffix == ".py" and "tests" not in p.parts and (n := p.read_text().count("\n")) > 300
    }
    assert not long


def test_the_page_of_settings_is_what_the_settings_say() -> None:
    done = subprocess.run([sys.executable, "deploy/settings_page.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
