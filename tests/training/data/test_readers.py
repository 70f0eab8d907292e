import gzip
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import datasets
import fsspec
import pyarrow as pa
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import parquet
from pydantic import ValidationError
from slipway_training.data.document import Tally
from slipway_training.data.files import origin, public
from slipway_training.data.mixture import Reading, Source
from slipway_training.data.readers import read, renderer
from slipway_training.data.spool import Spool
from slipway_training.errors import ConfigError, DataMissing

ROWS = [{"text": f"row {i} says déjà vu", "page": {"body": f"body {i}"}, "tags": ["a", "b"]} for i in range(7)]


def texts(url: object, **how: Any) -> list[str]:
    return [d.text for d in read(Reading(name="s", url=str(url), **how), Tally())]


def jsonl(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def test_jsonl_in_the_order_of_sorted_files(tmp_path: Path) -> None:
    jsonl(tmp_path / "b.jsonl", ROWS[4:])
    jsonl(tmp_path / "a.jsonl", ROWS[:4])
    assert texts(tmp_path / "*.jsonl") == [r["text"] for r in ROWS]
    assert texts(tmp_path / "*.jsonl", max_documents=5) == [r["text"] for r in ROWS[:5]]


def test_nested_fields_lists_and_templates(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl")
    assert texts(path, text="page.body")[2] == "body 2"
    assert texts(path, text="{page.body}: {text}!")[0] == "body 0: row 0 says déjà vu!"
    assert texts(path, text="tags")[0] == "a\nb"


def test_a_template_reaches_fields_and_nothing_else() -> None:
    assert renderer("{text.__class__}")({"text": "x"}) is None
    assert renderer("{a}{b}")({"a": "{b}", "b": "2"}) == "{b}2"
    with pytest.raises(ConfigError, match="names no field"):
        renderer("{}")


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_compressed_by_suffix(tmp_path: Path, suffix: str) -> None:
    with fsspec.open(str(tmp_path / f"a.jsonl{suffix}"), "wb", compression="infer") as handle:
        handle.write("".join(json.dumps(r) + "\n" for r in ROWS).encode())  # pyright: ignore
    assert len(texts(tmp_path / f"a.jsonl{suffix}")) == 7


def test_files_inside_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as file:
        file.writestr("corpus/b.txt", "second")
        file.writestr("corpus/a.txt", "first")
        file.writestr("corpus/README", "not this")
    assert texts(f"zip://corpus/*.txt::{tmp_path / 'c.zip'}", format="text", split="file") == ["first", "second"]


def test_parquet_and_a_saved_dataset(tmp_path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=2)
    assert texts(tmp_path / "a.parquet", format="parquet", text="page.body") == [f"body {i}" for i in range(7)]
    saved = datasets.Dataset.from_list(ROWS)
    saved.save_to_disk(tmp_path / "ds", num_shards=3)
    (tmp_path / "ds" / "cache-1234.arrow").write_bytes(b"a cached map of some other run")
    assert texts(tmp_path / "ds", format="dataset") == [r["text"] for r in ROWS]
    with pytest.raises(DataMissing, match="cannot be opened"):
        texts(tmp_path, format="dataset")


def test_a_dataset_in_memory_and_a_json_list(tmp_path: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk("memory://ds-of-test")
    assert texts("memory://ds-of-test", format="dataset") == [r["text"] for r in ROWS]
    (tmp_path / "list.json").write_text(json.dumps(ROWS), encoding="utf-8")
    assert texts(tmp_path / "list.json", format="json", text="{page.body}") == [f"body {i}" for i in range(7)]


def test_a_json_object_becomes_its_strings_under_their_names(tmp_path: Path) -> None:
    page = {"Geography": {"Area": {"text": "12 <b>sq</b> km"}, "Coast": {"Length": "3 km"}}, "rank": 4}
    (tmp_path / "x.json").write_text(json.dumps(page), encoding="utf-8")
    assert texts(tmp_path / "x.json", format="json") == ["Area: 12  sq  km\nLength: 3 km"]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=url).create_bucket(Bucket="corpus")
    yield url
    server.stop()


def test_s3_through_its_endpoint(bucket: str) -> None:
    client = boto3.client("s3", endpoint_url=bucket)
    for name, rows in (("b", ROWS[3:]), ("a", ROWS[:3])):
        body = gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode())
        client.put_object(Bucket="corpus", Key=f"v1/{name}.jsonl.gz", Body=body)
    assert texts("s3://corpus/v1/*.jsonl.gz", storage={"endpoint_url": bucket}) == [r["text"] for r in ROWS]


def test_long_lines_bad_rows_and_missing_fields_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    long = json.dumps({"text": "x" * 5000})
    path.write_text(
        "\n".join(['{"text": "one"}', long, "{broken", "[1]", '{"other": 1}', "", '{"text": " "}', '{"text": "two"}']), encoding="utf-8"
    )
    tally = Tally()
    assert [d.text for d in read(Reading(name="s", url=str(path), max_line_bytes=1000), tally)] == ["one", "two"]
    assert dict(tally.dropped) == {"line_too_long": 1, "not_json": 1, "not_an_object": 1, "no_text_field": 1, "empty": 1}
    assert (tally.read, tally.characters_read) == (2, 6)


def test_a_long_document_comes_in_pieces(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": "abcdefghij" * 25}])
    assert [len(t) for t in texts(path, max_characters=100)] == [100, 100, 50]


def test_text_by_file_line_and_block(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join(f"paragraph {i} " + "words " * 20 for i in range(30)), encoding="utf-8")
    assert len(texts(path, format="text", split="file")) == 1
    assert len(texts(path, format="text", split="lines")) == 30
    blocks = texts(path, format="text", split="blocks", block_characters=600)
    assert all(b.startswith("paragraph") and len(b) < 900 for b in blocks)
    assert "\n\n".join(blocks).count("paragraph") == 30


def test_text_that_is_not_utf8_is_read_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("caf\u00e9 \u2013 na\u00efve\n".encode("cp1252"))
    tally = Tally()
    assert [d.text for d in read(Reading(name="s", url=str(tmp_path / "a.txt"), format="text", split="lines"), tally)] == ["café – naïve\n"]
    assert tally.changed["not_utf8"] == 1


def test_nothing_there_and_nothing_readable_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no file at"):
        texts(tmp_path / "none*.jsonl")
    with pytest.raises(DataMissing, match=r"no file at|cannot be opened"):
        texts("memory://nowhere/a.jsonl")
    (tmp_path / "a.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(DataMissing, match="no_text_field"):
        texts(tmp_path / "a.jsonl")


def test_provenance_has_a_digest_of_the_bytes_and_no_folder_of_this_machine(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    jsonl(folder / "a.jsonl")
    source = Source(name="s", url=str(folder / "*.jsonl"), licence="MIT", attribution="me", domain="web")
    one = origin(source)
    assert (one.url, one.licence, one.attribution, one.domain, one.files) == ("corpus/*.jsonl", "MIT", "me", "web", 1)
    assert one.bytes_read == (folder / "a.jsonl").stat().st_size
    jsonl(folder / "a.jsonl", ROWS[:6])
    assert origin(source).sha256 != one.sha256


def test_a_url_loses_its_user_and_keeps_its_bucket() -> None:
    assert public("sftp://me:pw@host/a/b.txt") == "sftp://host/a/b.txt"
    assert public("s3://bucket/deep/er/*.parquet") == "s3://bucket/deep/er/*.parquet"
    assert public("zip://*.txt::/home/someone/data/x.zip") == "zip://*.txt::data/x.zip"


def test_secrets_have_no_place_in_a_mixture() -> None:
    with pytest.raises(ValidationError, match="looks like a secret"):
        Reading(name="s", url="s3://x/y", storage={"secret": "abc"})
    with pytest.raises(ValidationError, match="licence"):
        Source.model_validate({"name": "s", "url": "x"})


@pytest.mark.parametrize(
    ("name", "raw", "how", "said"),
    [
        ("a.parquet", b"PAR1 and no more", {"format": "parquet"}, "cannot be read as parquet"),
        ("a.txt.gz", b"not gzip", {"format": "text"}, "cannot be read as text"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "cut off"}\n' * 900)[:-12], {"format": "jsonl"}, "cannot be read as jsonl"),
        ("a.txt.xz", b"not xz", {"format": "text"}, "cannot be read as text"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, raw: bytes, how: dict[str, Any], said: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(DataMissing, match=said) as told:
        texts(tmp_path / name, **how)
    assert name in str(told.value)


def test_a_folder_that_is_no_saved_dataset_is_said(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataMissing, match="save_to_disk"):
        texts(tmp_path, format="dataset")


def test_a_step_that_fails_leaves_no_half_written_file(tmp_path: Path) -> None:
    with pytest.raises(DataMissing):
        Spool(tmp_path, "s").write(read(Reading(name="s", url=str(tmp_path / "none.jsonl")), Tally()))
    assert not list(tmp_path.iterdir())
