"""The tokenizer: learned from the curriculum, and used part by part, as the runtime does with prompt and reply."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from lmprog.lm.tiny.curriculum.example import END, Example, segments

TOKENIZER_FILE = "tokenizer.json"

PAD, EOS, BOS = 0, 1, 2
SPECIAL = ("<|pad|>", END, "<|bos|>")
"""The texts of the first tokens, by their numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Examples as tokens, one behind the other."""

    tokens: npt.NDArray[np.uint16]
    weights: npt.NDArray[np.float32]
    """How much each token weighs in the loss; 0 where it is given."""
    lengths: npt.NDArray[np.int32]
    """Tokens of each example."""
    families: Sequence[str]
    """The family of each example."""
    tasks: Sequence[str]
    """The task of each example."""


class Encoder:
    """Turns examples into tokens."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._tokenizer.encode_special_tokens = True  # as in the runtime: no text passes for the end token

    def encode(self, examples: Sequence[Example]) -> Encoded:
        """Return the tokens of examples. Each part of an example is tokenized apart."""
        parts = [segments(example) for example in examples]
        flat = [part for some in parts for part in some]
        texts = [text.removesuffix(END) for text, _ in flat]
        found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids = [
            [*each.ids, EOS] if text.endswith(END) else each.ids for each, (text, _) in zip(found, flat, strict=True)
        ]
        counts = np.array([len(each) for each in ids], np.int32)
        starts = np.cumsum([0, *(len(some) for some in parts[:-1])])
        return Encoded(
            tokens=np.array([token for each in ids for token in each], np.uint16),
            weights=np.repeat(np.array([weight for _, weight in flat], np.float32), counts),
            lengths=np.add.reduceat(counts, starts).astype(np.int32),
            families=[example.family for example in examples],
            tasks=[example.task for example in examples],
        )


def learn_tokenizer(texts: Iterable[str], size: int, folder: Path) -> int:
    """Write a byte-level BPE of at most `size` tokens, learned from texts; return how many it has."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / TOKENIZER_FILE))
    return tokenizer.get_vocab_size()


def cut_by(old: Path, new: Path) -> list[list[int]]:
    """Return, for each token of the new tokenizer, the tokens into which the old one cuts its text."""
    before, after = (Tokenizer.from_file(str(folder / TOKENIZER_FILE)) for folder in (old, new))
    known = before.get_vocab()
    texts = [after.id_to_token(number) for number in range(after.get_vocab_size())]
    return [[known[text]] if text in known else [each.id for each in before.model.tokenize(text)] for text in texts]


def text_of(example: Example) -> str:
    """Return an example's text without end tokens."""
    return "".join(text.removesuffix(END) for text, _ in segments(example))
