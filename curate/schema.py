"""Typed rows, their Arrow schemas, and identity by content."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import pyarrow as pa

Split = Literal["train", "val", "test"]
Status = Literal["ok", "unreadable", "refused", "too_long", "failed"]
STATUSES: tuple[str, ...] = get_args(Status)

PAGES = pa.schema(
    [
        ("page_id", pa.string()),
        ("url", pa.string()),
        ("host", pa.string()),
        ("title", pa.string()),
        ("text", pa.string()),
        ("lang", pa.string()),
        ("source", pa.string()),
        ("group_id", pa.string()),
        ("duplicate_of", pa.string()),
        ("split", pa.string()),
        ("round", pa.int32()),
        ("how", pa.string()),
        ("stratum", pa.string()),
        ("inclusion_probability", pa.float64()),
    ]
)
LABELS = pa.schema(
    [
        ("label_id", pa.string()),
        ("page_id", pa.string()),
        ("rater", pa.string()),
        ("level", pa.int32()),
        ("criteria", pa.string()),
        ("note", pa.string()),
        ("flag", pa.string()),
        ("at", pa.string()),
        ("seconds", pa.float64()),
        ("shown", pa.string()),
        ("assisted", pa.bool_()),
        ("role", pa.string()),
        ("rubric_hash", pa.string()),
    ]
)
JUDGMENTS = pa.schema(
    [
        ("page_id", pa.string()),
        ("judge_id", pa.string()),
        ("status", pa.string()),
        ("why", pa.string()),
        ("level", pa.int32()),
        ("score", pa.float64()),
        ("expected", pa.float64()),
        ("probabilities", pa.list_(pa.float64())),
        ("outside", pa.float64()),
        ("criteria", pa.string()),
        ("reason", pa.string()),
        ("raw", pa.string()),
        ("shown", pa.string()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("thinking_tokens", pa.int64()),
        ("cost_usd", pa.float64()),
        ("seconds", pa.float64()),
        ("at", pa.string()),
    ]
)
CANDIDATES = pa.schema(
    [
        ("tune_id", pa.string()),
        ("candidate_id", pa.string()),
        ("parent_id", pa.string()),
        ("phase", pa.string()),
        ("form", pa.string()),
        ("instruction", pa.string()),
        ("chars", pa.int64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("n", pa.int64()),
        ("note", pa.string()),
    ]
)
CANDIDATE_SCORES = pa.schema(
    [
        ("tune_id", pa.string()),
        ("candidate_id", pa.string()),
        ("page_id", pa.string()),
        ("split", pa.string()),
        ("score", pa.float64()),
        ("judge_score", pa.float64()),
        ("level", pa.int32()),
    ]
)
SAID = pa.map_(pa.string(), pa.float64())
"""What else is said of a page: outputs of the classifier, and other classifiers, by name."""
SCORES = pa.schema(
    [
        ("page_id", pa.string()),
        ("shard", pa.string()),
        ("row", pa.int64()),
        ("url", pa.string()),
        ("score", pa.float64()),
        ("chars", pa.int64()),
        ("said", SAID),
        ("outside", pa.bool_()),
        ("classifier_id", pa.string()),
    ]
)
DECISIONS = pa.schema(
    [
        ("page_id", pa.string()),
        ("shard", pa.string()),
        ("row", pa.int64()),
        ("url", pa.string()),
        ("score", pa.float64()),
        ("tier", pa.int32()),
        ("keep", pa.bool_()),
        ("reason", pa.string()),
        ("chars", pa.int64()),
        ("said", SAID),
        ("classifier_id", pa.string()),
    ]
)
TABLES: dict[str, pa.Schema] = {
    "pages": PAGES,
    "labels": LABELS,
    "judgments": JUDGMENTS,
    "candidates": CANDIDATES,
    "candidate_scores": CANDIDATE_SCORES,
    "scores": SCORES,
    "decisions": DECISIONS,
}


def fingerprint(*parts: Any) -> str:
    """16 hex digits of the SHA-256 of the parts as canonical JSON: the name of whatever they made."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def page_id(text: str) -> str:
    """A page's name is the hash of its text, so the same page from two shards is one page."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def host_of(url: str | None) -> str:
    """Lower-case host of a URL, without port and leading `www.`; empty where there is none."""
    if not url:
        return ""
    url = url.strip()
    try:
        host = urlsplit(url if re.match(r"([a-z][a-z0-9+.-]*:)?//", url, re.IGNORECASE) else f"//{url}").hostname or ""
    except ValueError:
        return ""
    return host.lower().removeprefix("www.").rstrip(".")


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Judgment:
    """What one judge said of one page. `score` orders pages (log-odds or expected level, by answer form);
    `expected` is on the rubric's levels; `outside` is the probability mass that fell on no level. On a choice scale a
    level is the place of a class."""

    page_id: str
    judge_id: str
    status: Status
    why: str = ""
    level: int | None = None
    score: float | None = None
    expected: float | None = None
    probabilities: list[float] = field(default_factory=list)
    outside: float | None = None
    criteria: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    raw: str = ""
    shown: str = ""
    """`all`, or what of the page was shown."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    thinking_tokens: int = 0
    """Those of the completion that went into thinking, by the provider's count, else by their share of the text."""
    cost_usd: float = 0.0
    seconds: float = 0.0

    @classmethod
    def failed(cls, page_id: str, judge_id: str, status: Status, why: str, raw: str = "") -> "Judgment":
        """A page that has no level, with the reason why: such pages are counted, never dropped."""
        return cls(page_id=page_id, judge_id=judge_id, status=status, why=why, raw=raw)

    def row(self) -> dict[str, Any]:
        """As a row of the `judgments` table."""
        values = {name: getattr(self, name) for name in JUDGMENTS.names if name not in ("criteria", "at")}
        return {**values, "criteria": json.dumps(self.criteria) if self.criteria else None, "at": now()}
