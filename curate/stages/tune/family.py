"""The family tree of candidates: what each was made from, and which rules it added or lost."""

import math
import re
from collections.abc import Sequence
from typing import Any

from curate.schema import fingerprint
from curate.stages.tune.search import Found

SUMMARY_CHARS = 160
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!^\d\.)(?<!^\d\d\.)\s+(?=[A-Z\"'(])")
"""The number of a list line ends no sentence."""


def family(found: Sequence[Found]) -> list[dict[str, Any]]:
    """The candidates of all searches as a tree: what each was made from, and in short what changed."""
    rows = []
    for one in found:
        texts = {c.instruction: c for c in one.candidates}
        for candidate in one.candidates:
            parents = [fingerprint(text) for text in candidate.parents]
            before = candidate.parents[0] if candidate.parents else candidate.instruction
            rows.append(
                {
                    "candidate_id": candidate.id,
                    "parent_id": parents[0] if parents else "",
                    "parents": parents,
                    "form": one.seed.form,
                    "start": one.seed.id,
                    "instruction": candidate.instruction,
                    "val_score": None if math.isnan(candidate.score) else candidate.score,
                    "chars": len(candidate.instruction),
                    "change": summary(before, candidate.instruction) if before in texts else "",
                }
            )
    return rows


def summary(before: str, after: str) -> str:
    """What changed from one instruction to the next, in a line."""
    added, removed = changed(before, after)
    words = [f"+ {unit}" for unit in added] + [f"- {unit}" for unit in removed]
    line = "; ".join(words)
    return line if len(line) <= SUMMARY_CHARS else f"{line[: SUMMARY_CHARS - 3]}..."


def changed(before: str, after: str) -> tuple[list[str], list[str]]:
    """Rules that were added and rules that were removed, in their order."""
    old, new = units(before), units(after)
    return [unit for unit in new if unit not in old], [unit for unit in old if unit not in new]


def units(text: str) -> list[str]:
    """Sentences and lines, each a rule that can be there or not. Broken lines of one sentence are joined."""
    paragraphs = re.split(r"\n(?=\s*(?:[-*#]|\d+[.)]|[\w-]+:\s))|\n\s*\n", text.strip())
    sentences = [_SENTENCE_END.split(" ".join(p.split())) for p in paragraphs]
    return [sentence for found in sentences for sentence in found if sentence]
