"""What is known of one drawn page, set out to be read: its text, and what people, the judge and the classifier said.

What was said of sealed pages stays closed. Opening it for a page is an opening of the sealed test, and written down as
the report writes its own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.config import Opened
from curate.errors import BadInput
from curate.labels.words import ADJUDICATION
from curate.pipeline import Row, Work, fresh_records, stages_of
from curate.schema import PAGES
from curate.stages.report import READING, write_opening
from curate.stages.report.wording import number
from curate.web.reading_query import SEALED, Asked, Found, Preset, columns_of, find, presets, said_together

MOST_COPIES = 20
"""Near-duplicates of a page that are named."""
LONGEST_VALUE = 400
"""Characters shown of a column that the source brought along."""
FLAGS = {"skipped": "skipped", "unusable": "flagged as unusable", "undone": "took it back"}


@dataclass(frozen=True)
class Verdict:
    """What one of the three who judge says, in a few words."""

    who: str
    says: str
    """A level, a class or a score; "" where nothing is said."""
    more: str = ""
    keep: bool | None = None
    """Whether that means keeping the page; None where it says nothing of it."""


class Reader:
    """The pages of one pipeline. Raises BadInput where none are drawn."""

    def __init__(self, opened: Opened) -> None:
        self.opened, self.rubric = opened, opened.rubric
        self.work()

    def work(self) -> Work:
        """The workspace as it is now. A stage that is not fresh counts as it last ran: a new label must not hide what
        judge and classifier said."""
        work = fresh_records(self.opened)
        if "sample" not in work.records:
            raise BadInput(f"no pages are drawn yet; run `curate run {self.opened.file} --until sample`")
        for stage in stages_of(self.opened):
            if stage not in work.records and (known := work.store.records(stage)):
                work.records[stage] = known[-1]
        return work

    def find(self, asked: Asked) -> Found:
        """A page of the list. Raises BadInput for a condition or order that cannot be evaluated."""
        return find(self.work(), asked)

    def presets(self) -> list[Preset]:
        """Filters worth a link."""
        return list(presets(self.rubric, _threshold(self.work())))

    def columns(self) -> list[str]:
        """What conditions may name: the columns of the sample, and ours."""
        return columns_of(self.work())

    def page(self, page_id: str, *, unseal: bool = False) -> Row | None:
        """All that is known of a page, None where it is not of the sample.

        `unseal` opens what was said of a sealed page, after writing that down.
        """
        work = self.work()
        page = _one(work, "SELECT * FROM pages WHERE page_id = ?", page_id)
        if page is None:
            return None
        sealed = page["split"] == SEALED
        if sealed and unseal:
            _write_opening(work, page_id)
        closed = sealed and not unseal
        said = {} if closed else self._said(work, page_id)
        return {**page, "sealed": sealed, "closed": closed, "extras": _extras(page), **_kin(work, page), **said}

    def _said(self, work: Work, page_id: str) -> Row:
        labels = self._labels(work, page_id)
        judgments = self._judgments(work, page_id)
        decisions = _ask(work, "SELECT * FROM decisions WHERE page_id = ? ORDER BY keep DESC, shard, row", page_id)
        verdicts = [
            self._people(work, page_id, labels),
            self._judge(judgments),
            *([_classifier(decisions, _threshold(work))] if self.rubric.kept else []),
        ]
        return {"labels": labels, "judgments": judgments, "decisions": decisions, "verdicts": verdicts,
                "why": _why(verdicts)}  # fmt: skip

    def _labels(self, work: Work, page_id: str) -> list[Row]:
        """Every word on the page, oldest first; `standing` is whether it is the rater's last."""
        rows = _ask(work, 'SELECT * FROM labels WHERE page_id = ? ORDER BY "at", label_id', page_id)
        last = {(row["rater"], row.get("role") or ""): row["label_id"] for row in rows}
        return [
            {
                **row,
                "role": row.get("role") or "",
                "named": self._named(row["level"]),
                "words": self.rubric.levels.get(row["level"], ""),
                "flagged": FLAGS.get(row["flag"], row["flag"]),
                "criteria": self._criteria(row["criteria"]),
                "standing": last[row["rater"], row.get("role") or ""] == row["label_id"] and row["flag"] != "undone",
                "other_rubric": bool(row["rubric_hash"]) and row["rubric_hash"] != self.rubric.hash,
            }
            for row in rows
        ]

    def _criteria(self, stored: str | None) -> list[tuple[str, int, str]]:
        given: dict[str, int] = json.loads(stored) if stored else {}
        known = self.rubric.criteria
        return [
            (name, level, known[name].levels.get(level, "") if name in known else "") for name, level in given.items()
        ]

    def _judgments(self, work: Work, page_id: str) -> list[Row]:
        """The tuned judge first, then the untuned one, then others, the newest first."""
        tuned = work.records["tune"]["report"] if "tune" in work.records else {}
        which = {tuned.get("untuned_id"): "untuned", tuned.get("tuned_id"): "tuned"}
        rows = _ask(work, 'SELECT * FROM judgments WHERE page_id = ? ORDER BY "at" DESC, judge_id', page_id)
        order = ["tuned", "untuned", ""]
        rows = sorted(rows, key=lambda row: order.index(which.get(row["judge_id"], "")))
        return [
            {
                **row,
                "which": which.get(row["judge_id"], ""),
                "named": self._named(row["level"]),
                "words": self.rubric.levels.get(row["level"], ""),
                "chances": self._chances(row["probabilities"]),
                "criteria": self._criteria(row["criteria"]),
            }
            for row in rows
        ]

    def _chances(self, probabilities: list[float] | None) -> list[tuple[str, float]]:
        """Each level with its probability, where there is one for each."""
        given = probabilities or []
        return list(zip(self.rubric.names.values(), given, strict=True)) if len(given) == len(self.rubric.names) else []

    def _named(self, level: int | None) -> str:
        return "" if level is None else self.rubric.names.get(level, str(level))

    def _people(self, work: Work, page_id: str, labels: list[Row]) -> Verdict:
        human, spread = said_together(work)
        if page_id not in human:
            return Verdict("people", "", "nobody has given a level")
        standing = [row for row in labels if row["standing"] and row["level"] is not None]
        raters = len({row["rater"] for row in standing if not row["role"]})
        truth = human[page_id]
        says = f"{truth:g}" if self.rubric.scale != "choice" else self._named(int(truth))
        apart = f", {spread[page_id]} apart" if spread.get(page_id) and self.rubric.scale != "choice" else ""
        settled = ", settled" if any(row["role"] == ADJUDICATION for row in standing) else ""
        more = f"{raters} rater{'' if raters == 1 else 's'}{apart}{settled}"
        return Verdict("people", says, more, self._worth(truth))

    def _judge(self, judgments: list[Row]) -> Verdict:
        """The judge that scores, or the newest where none is tuned."""
        if not judgments:
            return Verdict("judge", "", "has not been asked")
        first = judgments[0]
        if first["status"] != "ok":
            return Verdict("judge", "", f"{first['status'].replace('_', ' ')}: {first['why']}".rstrip(": "))
        level = first["level"]
        more = (
            f"expected {number(first['expected'])}"
            if first["expected"] is not None and self.rubric.scale == "ordinal"
            else ""
        )
        return Verdict("judge", self._named(level), more, self._worth(float(level)))

    def _worth(self, truth: float) -> bool | None:
        return bool(self.rubric.worth([truth])[0]) if self.rubric.kept else None

    def report(self) -> Path | None:
        """The newest report, None where none was written."""
        work = self.work()
        for record in reversed(work.store.records("report")):
            path = work.store.root / str(record["report"]["html"])
            if path.is_file():
                return path
        return None


def _classifier(decisions: list[Row], threshold: float | None) -> Verdict:
    if not decisions:
        return Verdict("classifier", "", "the filter has not met this page")
    first = decisions[0]
    score = "" if first["score"] is None else number(first["score"])
    more = f"threshold {number(threshold)}" if threshold is not None and score else first["reason"]
    return Verdict("classifier", score, more, first["keep"])


def _why(verdicts: list[Verdict]) -> str:
    """Where they part, in a sentence; "" where there is nothing to compare."""
    given = {v.who: v.keep for v in verdicts if v.keep is not None}
    if len(given) < 2:
        return ""
    if len(set(given.values())) == 1:
        who = " and ".join(given) if len(given) == 2 else "People, judge and classifier"
        return f"{who[0].upper()}{who[1:]} agree: {'worth keeping' if next(iter(given.values())) else 'not worth keeping'}."
    sides = {side: [who for who, keep in given.items() if keep is side] for side in (True, False)}
    keep, drop = (" and ".join(sides[side]) for side in (True, False))
    return f"They part: {keep} would keep it, {drop} would drop it."


def _threshold(work: Work) -> float | None:
    if "filter" not in work.records:
        return None
    return float(work.records["filter"]["report"]["threshold"]["value"])


def _kin(work: Work, page: Mapping[str, Any]) -> Row:
    """The page that this one repeats, the near-duplicates of it, and how many others are of its group."""
    copies = _ask(
        work, "SELECT page_id, host, title FROM pages WHERE duplicate_of = ? ORDER BY page_id", page["page_id"]
    )
    count = "SELECT count(*) AS n FROM pages WHERE group_id = ? AND page_id <> ?"
    (group,) = work.store.sql(count, [page["group_id"], page["page_id"]], scopes=work.scopes()).to_pylist()
    return {"copies": copies[:MOST_COPIES], "more_copies": max(0, len(copies) - MOST_COPIES), "of_group": group["n"]}


def _extras(page: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The other columns of the source, cut short."""
    values = {name: str(value) for name, value in page.items() if name not in PAGES.names and value is not None}
    return [
        (name, value[:LONGEST_VALUE] + ("…" if len(value) > LONGEST_VALUE else "")) for name, value in values.items()
    ]


def _ask(work: Work, query: str, page_id: str) -> list[Row]:
    rows: list[Row] = work.store.sql(query, [page_id], scopes=work.scopes()).to_pylist()
    return rows


def _one(work: Work, query: str, page_id: str) -> Row | None:
    return next(iter(_ask(work, query, page_id)), None)


def _write_opening(work: Work, page_id: str) -> None:
    labels = [row for row in work.labels() if row["page_id"] == page_id]
    write_opening(work.store, f"{page_id}-{READING}", labels=labels, measured={"page": page_id})
