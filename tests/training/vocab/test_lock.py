from pathlib import Path

import pytest
from slipway_training.errors import ConfigError, DataMissing
from slipway_training.tokenizer import write_tokenizer_folder
from slipway_training.vocab.lock import LOCK, freeze, load_frozen, verify
from tokenizers import Tokenizer


@pytest.fixture
def folder(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    write_tokenizer_folder(tokenizer, tmp_path / "t", 256)
    freeze(tmp_path / "t", "test", "byte_bpe", tokenizer.get_vocab_size(), "stamp")
    return tmp_path / "t"


def test_a_frozen_tokenizer_loads_from_folder_or_file_with_its_digest(folder: Path, tokenizer: Tokenizer) -> None:
    lock = verify(folder)
    assert set(lock.files) == {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    for where in (folder, folder / "tokenizer.json"):
        loaded, sha256 = load_frozen(where, expected=lock.sha256)
        assert sha256 == lock.sha256 and loaded.get_vocab() == tokenizer.get_vocab()


def test_a_changed_tokenizer_is_refused(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="changed after it was frozen"):
        load_frozen(folder)
    with pytest.raises(ConfigError, match=r"tokenizer\.json is not the file"):
        verify(folder)


def test_another_tokenizer_than_the_runs_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="not the tokenizer that this was made with"):
        load_frozen(folder, expected="00" * 32)


def test_a_changed_template_and_a_broken_lock_are_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ other }}", encoding="utf-8")
    with pytest.raises(ConfigError, match="chat_template"):
        verify(folder)
    (folder / LOCK).write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="no tokenizer lock"):
        load_frozen(folder)


def test_without_a_lock_there_is_nothing_to_verify(folder: Path, tmp_path: Path) -> None:
    (folder / LOCK).unlink()
    load_frozen(folder)
    with pytest.raises(DataMissing, match="not frozen"):
        verify(folder)
    with pytest.raises(DataMissing, match="no tokenizer at"):
        load_frozen(tmp_path)
