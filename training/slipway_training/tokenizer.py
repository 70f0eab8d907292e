"""The reader's tokenizer: byte-level BPE with single digits, and the chat form around messages.

It knows the special tokens and the split that llama.cpp calls "gpt-2". It refuses to know rows and models.

Digits: the BPE is trained on text in which every digit stands alone, so no merge contains one; at run time the plain ByteLevel split is enough and
gives the same ids in llama.cpp. A model copies `8443` digit by digit, which it can learn, instead of as a token that it never saw.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from slipway_training.errors import ConfigError

SYSTEM, USER, ASSISTANT, END, PAD = "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
SPECIALS = (PAD, END, SYSTEM, USER, ASSISTANT)
UNKNOWN = "<unk>"
"""Which only sentencepiece's vocabularies have, and which their byte fallback never needs."""
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""`<|role|>content<|end|>` for each message, then the open assistant turn."""


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE of exactly `vocab_size` tokens over `texts`; raises ConfigError when they do not hold that many."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIALS), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        min_frequency=2,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocab_size:
        raise ConfigError(
            f"the texts give only {tokenizer.get_vocab_size()} tokens, {vocab_size} are asked for: more text or a smaller vocab_size"
        )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)  # type: ignore[assignment]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a run; raises ConfigError when the file is none."""
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:
        raise ConfigError(f"{path} cannot be read as a tokenizer: {error}") from error


def special_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a special token; raises ConfigError when the tokenizer is not one of ours."""
    number = tokenizer.token_to_id(token)
    if number is None:
        raise ConfigError(f"the tokenizer has no {token}")
    return number


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of plain text; text that spells a special token stays text (a passage cannot open an assistant turn)."""
    parts = [text]
    for token in (*SPECIALS, UNKNOWN) if tokenizer.token_to_id(UNKNOWN) is not None else SPECIALS:
        parts = [piece for part in parts for piece in _broken(part, token)]
    return [i for part in parts for i in tokenizer.encode(part, add_special_tokens=False).ids]


def _broken(text: str, token: str) -> list[str]:
    """`text` cut inside every occurrence of `token`, so that no piece holds it whole."""
    pieces = text.split(token)
    half = len(token) // 2
    out: list[str] = []
    for index, piece in enumerate(pieces):
        head = token[half:] if index else ""
        tail = token[:half] if index < len(pieces) - 1 else ""
        if joined := f"{head}{piece}{tail}":
            out.append(joined)
    return out


def write_tokenizer_folder(tokenizer: Tokenizer, folder: Path, context_tokens: int) -> None:
    """The files that `transformers` and onnxruntime-genai read: tokenizer.json, tokenizer_config.json, chat_template.jinja."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "pad_token": PAD, "model_max_length": context_tokens,
        "clean_up_tokenization_spaces": False, "add_bos_token": False, "chat_template": CHAT_TEMPLATE,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
