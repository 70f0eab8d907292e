"""Builds: what fits a device and why not, and files with ranges and digests, out of folders with real manifests."""

import base64
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from slipway_gateway.builds import Device, fitting, sniff
from slipway_shared import manifest

CONTENT = bytes(range(256)) * 40


def write(root: Path, flavor: str, **fields: Any) -> Path:
    folder = root / "tiny" / flavor
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(CONTENT)
    described: dict[str, Any] = {
        "model": "tiny", "flavor": flavor, "engine": "llamacpp", "entry": "model.gguf", "files": (manifest.describe_file(folder, "model.gguf"),),
        "context_tokens": 64, **fields,
    }  # fmt: skip
    manifest.write_manifest(folder, manifest.Manifest(**described))
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Three flavors of one model."""
    write(tmp_path, "f16", device_classes=("gpu",), memory_floor_mb=900, engine="vllm")
    write(
        tmp_path,
        "int8",
        device_classes=("x86", "arm"),
        memory_floor_mb=400,
        eval={"ttft_ms@x86": 12.5, "peak_rss_mb@x86": 210, "f1@dev": 0.5},
    )
    write(tmp_path, "int4", device_classes=("x86", "arm", "mobile"), memory_floor_mb=200)
    return tmp_path


@pytest.fixture
async def shop(start: Callable[..., AbstractAsyncContextManager[Any]], models: Path) -> AsyncGenerator[Any]:
    async with start(models_dir=models) as running:
        yield running


async def ask(shop: Any, query: str = "", model: str = "tiny", status: int = 200, headers: dict[str, str] | None = None) -> Any:
    async with shop.client.get(f"/v1/models/{model}/builds{query}", headers={**shop.auth, **(headers or {})}) as response:
        assert response.status == status, await response.read()
        return await response.json()


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("?arch=x86_64&ram_mb=4096", "tiny:int8"),
        ("?arch=arm64&ram_mb=300", "tiny:int4"),
        ("?arch=amd64&ram_mb=4096&gpu=true", "tiny:f16"),
        ("?arch=amd64&ram_mb=100", None),
        ("", "tiny:int8"),
    ],
)
async def test_the_largest_build_that_fits_is_the_best(shop: Any, query: str, best: str | None) -> None:
    answer = await ask(shop, query)
    assert answer["best"] == best
    assert {build["id"] for build in answer["data"]} == {"tiny:f16", "tiny:int8", "tiny:int4"}
    assert all(build["fits"] != bool(build["why_not"]) for build in answer["data"])


async def test_what_was_measured_and_why_others_do_not_fit_is_said(shop: Any) -> None:
    answer = await ask(shop, "?arch=x86_64&ram_mb=300")
    by_id = {build["id"]: build for build in answer["data"]}
    assert by_id["tiny:int8"]["measured"] == {"ttft_ms@x86": 12.5, "peak_rss_mb@x86": 210.0}
    assert by_id["tiny:int8"]["eval"] == {"f1@dev": 0.5}
    assert by_id["tiny:int8"]["why_not"] == ["it needs 400 MB of memory"]
    assert by_id["tiny:f16"]["why_not"] == ["it is not built for x86", "it needs a GPU", "it needs 900 MB of memory"]
    assert by_id["tiny:int4"]["files"][0]["sha256"] == hashlib.sha256(CONTENT).hexdigest()


async def test_a_browser_is_recognised(shop: Any) -> None:
    phone = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36"
    answer = await ask(shop, headers={"user-agent": phone, "device-memory": "8"})
    assert answer["device"] == {"arch": "arm", "ram_mb": 4096, "gpu": None, "mobile": True}
    assert answer["best"] == "tiny:int4"


@pytest.mark.parametrize(
    ("headers", "device"),
    [
        ({"user-agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"}, Device("x86")),
        ({"user-agent": "Mozilla/5.0 (X11; Linux aarch64)"}, Device("arm")),
        ({"user-agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "sec-ch-ua-arch": '"arm"'}, Device("arm")),
        ({"user-agent": "curl/8.5", "device-memory": "lots"}, Device()),
        ({"user-agent": "x" * 100_000, "device-memory": "nan"}, Device()),
        ({}, Device()),
    ],
)
def test_what_headers_say(headers: dict[str, str], device: Device) -> None:
    assert sniff(headers) == device


def test_a_gpu_build_fits_a_gpu_whatever_the_processor(models: Path) -> None:
    written, _ = manifest.read_manifest(models / "tiny" / "f16")
    assert fitting(written, Device("arm", 2000, gpu=True)) == ()


async def test_a_file_comes_whole_in_ranges_and_not_twice(shop: Any) -> None:
    path = "/v1/models/tiny/builds/int8/content"
    async with shop.client.get(path, headers=shop.auth) as response:
        assert await response.read() == CONTENT
        etag = response.headers["etag"]
        digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
        assert response.headers["repr-digest"] == f"sha-256=:{digest}:"
    async with shop.client.get(path, headers={**shop.auth, "range": "bytes=100-199", "if-range": etag}) as response:
        assert response.status == 206
        assert await response.read() == CONTENT[100:200]
        assert response.headers["content-range"] == f"bytes 100-199/{len(CONTENT)}"
    async with shop.client.get(path, headers={**shop.auth, "range": "bytes=100-199", "if-range": '"another"'}) as response:
        assert response.status == 200
    async with shop.client.get(path, headers={**shop.auth, "range": "bytes=999999-"}) as response:
        assert response.status == 416
    async with shop.client.head(path, headers=shop.auth) as response:
        assert response.status == 200
        assert int(response.headers["content-length"]) == len(CONTENT)


@pytest.mark.parametrize("file", ["manifest.json", "../int4/model.gguf", "/etc/passwd", "..%2f..%2fsecret", "model.gguf%00"])
async def test_only_what_a_manifest_names_is_served(shop: Any, file: str) -> None:
    async with shop.client.get(f"/v1/models/tiny/builds/int8/content?file={file}", headers=shop.auth) as response:
        assert response.status == 404
        assert (await response.json())["error"]["param"] == "file"


async def test_unknown_names_and_bad_values_are_told(shop: Any) -> None:
    await ask(shop, model="nobody", status=404)
    await ask(shop, model="..%2f..", status=404)
    assert (await ask(shop, "?arch=sparc", status=400))["error"]["param"] == "arch"
    await ask(shop, "?ram_mb=-1", status=400)
    async with shop.client.get("/v1/models/tiny/builds/int2/content", headers=shop.auth) as response:
        assert response.status == 404
    async with shop.client.get("/v1/models/tiny/builds") as response:
        assert response.status == 401


async def test_an_altered_file_is_not_served(shop: Any, models: Path) -> None:
    target = models / "tiny" / "int8" / "model.gguf"
    target.write_bytes(CONTENT[:-1] + b"x")
    async with shop.client.get("/v1/models/tiny/builds/int8/content", headers=shop.auth) as response:
        assert response.status == 502
        assert (await response.json())["error"]["code"] == "build_altered"
