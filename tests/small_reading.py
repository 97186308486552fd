"""The small desk's pages with labels, judgments and decisions, as a run with a judge and a classifier leaves them."""

from pathlib import Path
from typing import Any

import small_desk

from curate.config import Opened
from curate.pipeline import fresh_records
from curate.schema import Judgment
from curate.stages import label
from curate.store import Store
from curate.web.reading import Reader

TUNED, UNTUNED, THRESHOLD = "tuned0judge00000", "untuned0judge000", 0.5
HOSTILE_NOTE = "<img src=x onerror=\"document.title = 'owned'\"> note"


def opened(folder: Path, **given: Any) -> Opened:
    """The pipeline; of every page anna said 2 and ben 0 or 2, the judge 0, 1 or 2, the classifier .1 to .9."""
    found = small_desk.opened(folder, **given)
    store, pages = Store(found.workspace), in_order(found)
    store.append("labels", [row for i, page in enumerate(pages) for row in _labels(found, page["page_id"], i)])
    store.append("judgments", [row for i, page in enumerate(pages) for row in _judgments(page["page_id"], i)])
    store.append("decisions", [_decision(page, i, len(pages)) for i, page in enumerate(pages)], scope="filtered")
    tune = {"tuned_id": TUNED, "untuned_id": UNTUNED}
    store.write_record("tune", "tuned", {"fingerprint": "tuned", "report": tune})
    store.write_record("filter", "filtered", {"fingerprint": "filtered", "report": {"threshold": {"value": THRESHOLD}}})
    return found


def reader(folder: Path, **given: Any) -> Reader:
    """A reader of it."""
    return Reader(opened(folder, **given))


def in_order(found: Opened) -> list[dict[str, Any]]:
    """Its pages by URL."""
    return sorted(fresh_records(found).pages(), key=lambda page: str(page["url"]))


def split(found: Opened, name: str) -> list[dict[str, Any]]:
    """Its pages of one split, by URL."""
    return [page for page in in_order(found) if page["split"] == name]


def _labels(found: Opened, page_id: str, i: int) -> list[dict[str, Any]]:
    given = {"note": HOSTILE_NOTE, "criteria": {"layout": 1}, "seconds": 4.0, "shown": "text"}
    return [
        label.label_row(found.rubric, page_id, "anna", level=2, at=f"2026-01-02T03:{i:02}:00.000000+00:00", **given),
        label.label_row(found.rubric, page_id, "ben", level=2 * (i % 2), at=f"2026-01-02T04:{i:02}:00.000000+00:00"),
    ]


def _judgments(page_id: str, i: int) -> list[dict[str, Any]]:
    tuned = Judgment(
        page_id, TUNED, "ok", level=i % 3, score=i / 10, expected=float(i % 3), probabilities=[0.2, 0.3, 0.5],
        reason="<script>document.title = 'owned'</script> because", criteria={"layout": 1}, raw="the whole reply",
    )  # fmt: skip
    return [tuned.row(), Judgment.failed(page_id, UNTUNED, "unreadable", "no level in the reply").row()]


def _decision(page: dict[str, Any], i: int, n: int) -> dict[str, Any]:
    score = 0.1 + 0.8 * i / max(1, n - 1)
    keep = score >= THRESHOLD
    return {
        "page_id": page["page_id"], "shard": "pages.jsonl", "row": i, "url": page["url"], "score": score, "tier": 0,
        "keep": keep, "reason": "kept" if keep else "below threshold", "chars": len(page["text"]), "classifier_id": "c1",
    }  # fmt: skip
