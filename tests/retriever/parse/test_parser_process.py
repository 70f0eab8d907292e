"""The parser process: it answers, it is ended when it takes too long or too much memory, and a new one takes its place."""

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from slipway_retriever.parse.document import Bounds, ParseError
from slipway_retriever.parse.process import ParserProcess


@pytest.fixture
def parser() -> Generator[ParserProcess]:
    process = ParserProcess(Bounds(1_000_000, 10), seconds=10, memory_bytes=1 << 30)
    yield process
    process.close()


def test_documents_cross_the_pipe_unchanged(parser: ParserProcess, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("# Ä\n\nein Größenwahn 😀", encoding="utf-8")
    document = parser.parse("a.md", path)
    assert [(s.title, document.text[s.start : s.end]) for s in document.sections] == [("Ä", "ein Größenwahn 😀")]


def test_an_error_crosses_with_its_code(parser: ParserProcess, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"%PDF-1.4 broken")
    with pytest.raises(ParseError, match="damaged") as caught:
        parser.parse("a.pdf", path)
    assert caught.value.code == "invalid_file"
    path.write_bytes(b"fine")
    assert parser.parse("a.txt", path).text == "fine"


def test_a_file_that_takes_too_long_is_given_up_and_the_next_one_is_read(tmp_path: Path) -> None:
    parser = ParserProcess(Bounds(1_000_000, 10), seconds=1.5, memory_bytes=1 << 30)
    hanging = tmp_path / "fifo"
    os.mkfifo(hanging)  # opening it blocks until someone writes, which nobody does
    with pytest.raises(ParseError, match="longer than"):
        parser.parse("a.txt", hanging)
    fine = tmp_path / "x"
    fine.write_bytes(b"fine")
    assert parser.parse("a.txt", fine).text == "fine"
    parser.close()


def test_a_parser_that_dies_is_replaced(parser: ParserProcess, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"fine")
    parser.parse("a.txt", path)
    assert parser.pid is not None
    os.kill(parser.pid, signal.SIGKILL)
    os.waitid(os.P_PID, parser.pid, os.WEXITED | os.WNOWAIT)
    assert parser.parse("a.txt", path).text == "fine"


def test_a_file_that_needs_too_much_memory_fails_alone(tmp_path: Path) -> None:
    parser = ParserProcess(Bounds(1 << 30, 10), seconds=20, memory_bytes=1 << 28)
    large = tmp_path / "large"
    large.write_bytes(b"word " * (30 << 20))
    with pytest.raises(ParseError, match="memory"):
        parser.parse("a.txt", large)
    fine = tmp_path / "x"
    fine.write_bytes(b"fine")
    assert parser.parse("a.txt", fine).text == "fine"
    parser.close()
