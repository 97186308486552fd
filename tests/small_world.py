"""A small world for stage tests: pages with a known worth, labels and judgments of them, a classifier trained on both."""

import random
from pathlib import Path
from typing import Any

from curate import rubric as rubrics
from curate.progress import Quiet
from curate.rubric import Rubric
from curate.sampling import split_of
from curate.schema import page_id
from curate.stages import distill
from curate.store import Store

ROOT = Path(__file__).parents[1]
STEM: Rubric = rubrics.load(ROOT / "rubrics" / "stem.md")
SHARES = {"train": 50.0, "val": 30.0, "test": 20.0}
GOOD = [
    "because",
    "therefore",
    "equation",
    "energy",
    "molecule",
    "proof",
    "theorem",
    "force",
    "voltage",
    "enzyme",
    "derivative",
    "gravity",
    "orbit",
]
BAD = [
    "sale",
    "cheap",
    "click",
    "cookies",
    "subscribe",
    "discount",
    "celebrity",
    "horoscope",
    "casino",
    "shipping",
    "coupon",
    "login",
    "gossip",
]
PLAIN = [
    "the",
    "a",
    "of",
    "and",
    "in",
    "to",
    "is",
    "it",
    "that",
    "for",
    "on",
    "with",
    "as",
    "was",
    "at",
    "by",
    "an",
    "be",
    "this",
    "which",
]


def words(number: int, level: int) -> str:
    """The text of page `number`: the higher the level, the more words that explain, and no other page is the same."""
    draw = random.Random(number)
    pool = [*GOOD * level, *BAD * (5 - level), *PLAIN * 4]
    return f"Page {number}. " + " ".join(draw.choice(pool) for _ in range(40))


def level_of(number: int) -> int:
    """What people say of page `number`."""
    return (number * 7) % 6


def pages(count: int) -> list[dict[str, Any]]:
    """Rows of the `pages` table, each page a group of its own."""
    made = []
    for number in range(count):
        text = words(number, level_of(number))
        made.append(
            {
                "page_id": page_id(text),
                "url": f"https://site{number}.example/{number}",
                "host": f"site{number}.example",
                "text": text,
                "lang": "en",
                "source": f"made:{number}",
                "group_id": f"g{number}",
                "split": split_of(f"g{number}", SHARES, salt="made"),
                "inclusion_probability": 1.0,
            }
        )
    return made


def levels(rows: list[dict[str, Any]]) -> dict[str, float]:
    """What people said, by page id."""
    return {row["page_id"]: float(level_of(int(row["source"].split(":")[1]))) for row in rows}


def judgments(rows: list[dict[str, Any]], *, noise: float = 0.6) -> dict[str, dict[str, Any]]:
    """What a judge said, by page id: near what people say, but not the same."""
    draw = random.Random(1)
    truth = levels(rows)
    return {
        name: {"status": "ok", "expected": min(max(level + draw.gauss(0, noise), 0.0), 5.0)}
        for name, level in truth.items()
    }


def distilled(store: Store, *, count: int = 80, features: tuple[str, ...] = ("ngrams",)) -> distill.Report:
    """A real classifier in the store, trained on a few pages with few features."""
    rows = pages(count)
    return distill.run(
        store,
        distill.Settings(features=[list(features)], c=[10.0], human_weight=[1.0], folds=3, ngram_bits=12),
        pages=rows,
        judgments=judgments(rows),
        truth={name: level for name, level in levels(rows).items() if hash_below(name, 0.8)},
        rubric=STEM,
        judge_id="made",
        progress=Quiet(),
    )


def hash_below(name: str, share: float) -> bool:
    """A fixed share of all names."""
    return int(name[:6], 16) / 16**6 < share
