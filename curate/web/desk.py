"""What lies on the labelling desk: which page comes next for whom, and each word of a rater as one part of `labels`.

Nothing here reads judgments: a rater never sees what a judge, or another rater, said of a page.
"""

import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from curate.config import Opened
from curate.errors import BadInput, did_you_mean
from curate.pipeline import Row, fresh_records
from curate.progress import Quiet
from curate.sampling import unit_hash
from curate.schema import fingerprint
from curate.stages import label

FOLD_CHARS = 6000
"""Characters of a page that are shown before its fold."""
HOLD_SECONDS = 900
"""How long a page on one rater's screen comes later for the others."""
PACE_PAGES = 30
"""Latest words of a rater that the pace is measured on."""
LONGEST_NAME = 40
UNDONE = "undone"


class Given(BaseModel):
    """What a rater said of one page: a level, or a flag that says why there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    page_id: str
    level: int | None = None
    criteria: dict[str, int] = Field(default_factory=dict)
    """Levels of the criteria that the rater answered."""
    note: str = Field("", max_length=4000)
    flag: Literal["", "skipped", "unusable"] = ""
    seconds: float = Field(ge=0, le=86400, allow_inf_nan=False)
    """Time that the page was on screen."""
    unfolded: bool = False
    """Whether the rest of a folded page was shown."""


@dataclass(frozen=True)
class Tally:
    """How far a rater, and all of them together, have come."""

    labelled_pages: int
    needed: int
    mine: int
    raters: dict[str, int]
    left: int
    """Pages of the sample that the rater has said nothing of."""
    pages_an_hour: float | None
    """Pages that the rater labels in an hour, from the latest."""
    enough: bool
    problems: list[str] = field(default_factory=list)
    undo: str | None = None
    """Label id of what the rater said last and can take back."""

    def as_dict(self) -> dict[str, Any]:
        """For the page."""
        return asdict(self)


def rater_name(given: object) -> str:
    """A name as it is stored with labels: one spelling for the same letters. Raises BadInput when it is no name."""
    name = " ".join(unicodedata.normalize("NFC", given).split()) if isinstance(given, str) else ""
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise BadInput(f"rater: must be a name of 1 to {LONGEST_NAME} characters (got {given!r:.60})")
    return name


class PipelineDesk:
    """The pages and labels of one pipeline, for any number of raters at once. Raises BadInput where no pages are drawn."""

    def __init__(self, opened: Opened) -> None:
        work = fresh_records(opened)
        if "sample" not in work.records:
            raise BadInput(f"curate label: no pages are drawn yet; run `curate run {opened.file} --until sample`")
        self.opened, self.rubric, self.store = opened, opened.rubric, work.store
        self._sample = work.done("sample")
        self.id = fingerprint(str(opened.workspace.absolute()), self._sample)
        self._pages = {page["page_id"]: page for page in _in_order(work.pages())}
        both = opened.pipeline.label.duplicates
        self._served = {name for name, page in self._pages.items() if both or not page["duplicate_of"]}
        self._lock = threading.Lock()
        self._parts: set[str] = set()
        self._words: dict[str, Row] = {}
        self._last: dict[tuple[str, str], Row] = {}
        self._held: dict[str, tuple[str, float]] = {}
        self._counted: tuple[int, label.Report] | None = None

    # What comes next -------------------------------------------------------------------------------------------------

    def ahead(self, rater: str, *, besides: Collection[str] = (), count: int = 1) -> list[Row]:
        """The next pages for a rater, as they are shown, without those in hand already.

        Pages that nobody labelled come first; once there are enough labels, those that one other rater labelled: a
        second opinion says how well people agree. Near-duplicates of another page do not come, or with
        label.duplicates last.
        """
        with self._lock:
            self._refresh()
            chosen = self._choose(rater, set(besides), count)
            held_at = time.monotonic()
            self._held |= {page["page_id"]: (rater, held_at) for page in chosen}
        return [shown(page) for page in chosen]

    def _choose(self, rater: str, besides: set[str], count: int) -> list[Row]:
        others, held, enough = self._others(rater), self._held_by_others(rater), self._enough()
        found: list[tuple[tuple[bool, int], Row]] = []
        best = 0
        for name, page in self._pages.items():
            repeats = bool(page["duplicate_of"])
            if name in besides or self._spoke(rater, name) or name not in self._served:
                continue
            labels, flags = others.get(name, (0, 0))
            late = flags + (name in held) + (labels != 1 if enough else labels)
            found.append(((repeats, late), page))
            best += found[-1][0] == (False, 0)
            if best == count:
                break
        return [page for _, page in sorted(found, key=lambda item: item[0])[:count]]

    def _spoke(self, rater: str, page_id: str) -> bool:
        last = self._last.get((page_id, rater))
        return last is not None and last["flag"] != UNDONE

    def _others(self, rater: str) -> dict[str, tuple[int, int]]:
        """Labels and flags by other raters, by page."""
        found: dict[str, tuple[int, int]] = {}
        for (page_id, name), row in self._last.items():
            if name != rater and row["flag"] in ("", "unusable"):
                labels, flags = found.get(page_id, (0, 0))
                found[page_id] = (labels + (row["level"] is not None), flags + (row["flag"] == "unusable"))
        return found

    def _held_by_others(self, rater: str) -> set[str]:
        since = time.monotonic() - HOLD_SECONDS
        return {page_id for page_id, (name, at) in self._held.items() if name != rater and at > since}

    # What is said ----------------------------------------------------------------------------------------------------

    def save(self, rater: str, given: Given) -> str:
        """Write one word of a rater as one part, at once, and give its label id.

        The same word sent twice is one word. Raises BadInput for a page, level or criterion that does not exist, and
        CurateError when it cannot be written.
        """
        self._check(given)
        row = {
            "level": given.level,
            "criteria": given.criteria,
            "note": given.note.strip(),
            "flag": given.flag,
            "seconds": round(given.seconds, 3),
            "shown": _extent(self._pages[given.page_id]["text"], given.unfolded),
        }
        with self._lock:
            self._refresh()
            return self._write(rater, given.page_id, row)

    def undo(self, rater: str, label_id: str) -> Row:
        """Take back a rater's last word on a page; gives the page, with what was `said` of it.

        Taken back twice is taken back once. Raises BadInput when it is not this rater's last word on the page.
        """
        with self._lock:
            self._refresh()
            word = self._words.get(label_id)
            last = word and self._last.get((word["page_id"], rater))
            if not word or not last or (last is not word and last["flag"] != UNDONE):
                raise BadInput("undo: there is nothing to take back; show the page again to see where you are")
            if last is word:
                self._write(rater, word["page_id"], {"level": None, "flag": UNDONE, "shown": word["shown"]})
                self._counted = None
        said = {key: word[key] for key in ("level", "note", "flag")}
        return {**shown(self._pages[word["page_id"]]), "said": said}

    def _write(self, rater: str, page_id: str, word: Row) -> str:
        before = self._last.get((page_id, rater))
        row = label.label_row(self.rubric, page_id, rater, **word, at=_after(before), assisted=False)
        if before and all(before[key] == row[key] for key in ("level", "criteria", "note", "flag", "seconds", "shown")):
            return str(before["label_id"])
        self.store.append("labels", [row], part=row["label_id"])
        self._refresh()
        self._held.pop(page_id, None)
        return str(row["label_id"])

    def _check(self, given: Given) -> None:
        if given.page_id not in self._pages:
            raise BadInput(f"page_id: no such page in this sample (got {given.page_id!r:.60})")
        if (given.level is None) == (not given.flag):
            raise BadInput("level: give either a level or a flag (skipped, unusable)")
        _check_level("level", given.level, self.rubric.levels)
        for name, level in given.criteria.items():
            if name not in self.rubric.criteria:
                raise BadInput(f"criteria: no criterion {name!r:.60}{did_you_mean(name, self.rubric.criteria)}")
            _check_level(f"criteria.{name}", level, self.rubric.criteria[name].levels)

    # What has been said so far ---------------------------------------------------------------------------------------

    def tally(self, rater: str) -> Tally:
        """How far everybody is; counted as `curate status` counts."""
        with self._lock:
            self._refresh()
            given = [row for row in self._last.values() if row["level"] is not None]
            here = sorted(
                (row for (_, name), row in self._last.items() if name == rater and row["shown"]),
                key=lambda row: (str(row["at"]), str(row["label_id"])),
            )
            here = [row for row in here if row["flag"] != UNDONE]
            raters = Counter(row["rater"] for row in given)
            return Tally(
                labelled_pages=len({row["page_id"] for row in given}),
                needed=self._needed,
                mine=raters[rater],
                raters=dict(sorted(raters.items())),
                left=sum(1 for name in self._served if not self._spoke(rater, name)),
                pages_an_hour=_pace(here),
                enough=self._enough(),
                problems=list(self._counted[1].problems) if self._counted else [],
                undo=here[-1]["label_id"] if here else None,
            )

    def raters(self) -> list[str]:
        """The names that labels are stored under."""
        with self._lock:
            self._refresh()
            return sorted({name for _, name in self._last})

    @property
    def _needed(self) -> int:
        return min(self.opened.pipeline.label.needed, len(self._served))

    def _enough(self) -> bool:
        """Whether tuning may begin, by the stage that decides it. Its count reads every part, so it is asked only while
        the number of pages is there and its last answer was no."""
        if len({row["page_id"] for row in self._last.values() if row["level"] is not None}) < self._needed:
            self._counted = None
            return False
        if self._counted is None or not (self._counted[1].enough or self._counted[0] == len(self._parts)):
            report = label.run(
                self.store,
                self.opened.pipeline.label,
                rubric=self.rubric,
                labels_source=None,
                pages=self._sample,
                progress=Quiet(),
            )
            self._counted = len(self._parts), report
        return self._counted[1].enough

    def _refresh(self) -> None:
        """Take in the parts that are new, written here or by another process; each rater's last word counts."""
        new = [path for path in self.store.parts("labels") if path.name not in self._parts]
        for path in new:
            with pq.ParquetFile(path) as part:
                for row in part.read().to_pylist():
                    self._hear(row)
            self._parts.add(path.name)

    def _hear(self, row: Row) -> None:
        if row["page_id"] not in self._pages:
            return
        self._words[row["label_id"]] = row
        key = row["page_id"], row["rater"]
        before = self._last.get(key)
        if before is None or _moment(before) <= _moment(row):
            self._last[key] = row


def _in_order(pages: Iterable[Row]) -> list[Row]:
    """The pages in a fixed pseudo-random order, so that the first n are a fair draw for every split."""
    return sorted(pages, key=lambda page: unit_hash("label", page["page_id"]))


def shown(page: Mapping[str, Any]) -> Row:
    """A page as it goes to the screen; `rest` is what lies below the fold."""
    cut = _fold(page["text"])
    head = {key: page.get(key) or "" for key in ("page_id", "title", "url", "host", "lang")}
    return {**head, "chars": len(page["text"]), "text": page["text"][:cut], "rest": page["text"][cut:]}


def _fold(text: str) -> int:
    """Where a long text is folded: at the end of a line or word near FOLD_CHARS; its length when it is not long."""
    if len(text) <= FOLD_CHARS * 5 // 4:
        return len(text)
    for end in "\n", " ":
        cut = text.rfind(end, FOLD_CHARS * 3 // 4, FOLD_CHARS)
        if cut > 0:
            return cut + 1
    return FOLD_CHARS


def _extent(text: str, unfolded: bool) -> str:
    """What was shown of a page, as it is stored: `text`, or `text 5981 of 23411 characters`."""
    cut = _fold(text)
    return "text" if unfolded or cut == len(text) else f"text {cut} of {len(text)} characters"


def _check_level(key: str, level: int | None, levels: Mapping[int, str]) -> None:
    if level is not None and level not in levels:
        raise BadInput(f"{key}: must be one of the levels 0..{max(levels)} (got {level})")


def _moment(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["at"]), str(row["label_id"])


def _after(before: Mapping[str, Any] | None) -> str:
    """The time in UTC to the microsecond, later than a rater's word before, also where the clock was set back."""
    now = datetime.now(UTC)
    if before and before["shown"]:
        now = max(now, datetime.fromisoformat(before["at"]) + timedelta(microseconds=1))
    return now.isoformat(timespec="microseconds")


def _pace(words: list[Row]) -> float | None:
    """Labels an hour; the time of pages that were skipped or flagged counts, they do not."""
    latest = words[-PACE_PAGES:]
    labels, seconds = sum(row["level"] is not None for row in latest), sum(row["seconds"] or 0 for row in latest)
    return round(3600 * labels / seconds, 1) if labels and seconds else None
