"""What ingestion picks up from a folder. Sending and waiting are tested against the real retriever in tests/system."""

from pathlib import Path

from slipway_cli import ingest


def test_folders_are_walked_hidden_and_foreign_files_left_out_links_not_followed(tmp_path: Path) -> None:
    for name in ("b.md", "a/deep.PDF", ".hidden.md", ".git/config.md", "image.png", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "link.md").symlink_to(tmp_path / "b.md")
    assert [source.name for source in ingest.find([tmp_path])] == ["b.md", "a/deep.PDF", "a/notes.txt"]


def test_a_file_that_is_named_is_taken_whatever_it_is(tmp_path: Path) -> None:
    (tmp_path / "odd.xyz").write_text("x")
    assert [source.name for source in ingest.find([tmp_path / "odd.xyz"])] == ["odd.xyz"]
