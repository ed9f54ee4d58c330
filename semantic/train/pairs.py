"""Reads pairs of prompts: files of pairs (.tsv) and files of groups (.txt).

A group is a block of lines: "= text" all ask for the same, "! text" is near to them and asks for something else.
"""

import hashlib
import itertools
import random
from collections import namedtuple
from pathlib import Path

Pair = namedtuple("Pair", "source category label a b group")
MOST_SAME, MOST_OTHER = 6, 9


def unescaped(text):
    return text.replace("\\n", "\n").replace("\\\\", "\\")


def read_tsv(path, source, by_text):
    """`by_text`: pairs with the same first text are one group; otherwise those of one kind of category."""
    for line in Path(path).read_text(encoding="utf-8").splitlines()[1:]:
        _, category, label, a, b = line.split("\t")
        a, b = unescaped(a), unescaped(b)
        yield Pair(source, category, int(label), a, b, f"{source}/{a if by_text else category.split('_')[0]}")


def read_groups(path):
    chosen, category = random.Random(1), ""
    for number, block in enumerate(Path(path).read_text(encoding="utf-8").split("\n\n")):
        same, other = [], []
        for line in block.splitlines():
            mark, _, text = line.partition(" ")
            if mark == "#":
                category = text
            elif mark == "=":
                same.append(unescaped(text))
            elif mark == "!":
                other.append(unescaped(text))
        yes, no = list(itertools.combinations(same, 2)), list(itertools.product(same, other))
        chosen.shuffle(yes)
        chosen.shuffle(no)
        for label, pairs in ((1, yes[:MOST_SAME]), (0, no[:MOST_OTHER])):
            for a, b in pairs:
                yield Pair("own", category, label, a, b, f"{Path(path).name}/{number}")


def fold(group, folds):
    """The same for all pairs of a group, on every machine."""
    return int(hashlib.md5(group.encode()).hexdigest(), 16) % folds
