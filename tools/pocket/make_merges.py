"""Write the tokenizer's merges file: the first merges of open_clip's own list.

A vocabulary is 2 x 256 byte tokens, one token a merge, and the two marks of start and end.
"""

from __future__ import annotations

import gzip

from clsearch.backbones.pocket import MERGES, VOCAB_SIZE
from clsearch.backbones.torchvision_ops import declare_missing_operators

BYTE_TOKENS = 512
MARKS = 2


def main() -> None:
    declare_missing_operators()
    from open_clip.tokenizer import default_bpe

    with gzip.open(default_bpe(), "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")
    # SimpleTokenizer skips the first line, and would read a last empty line as a merge.
    text = "\n".join(lines[: 1 + VOCAB_SIZE - BYTE_TOKENS - MARKS])
    # No time stamp: the same list gives the same bytes.
    MERGES.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
