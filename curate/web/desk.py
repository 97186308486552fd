"""What lies on the labelling desk: which page comes next for whom, and each word of a rater as one part of `labels`.

A rater never sees what another rater said of a page, nor what a judge did, unless the desk was opened with help from it. Who
settles disagreements sees both.
"""

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.config import Opened
from curate.errors import BadInput, did_you_mean
from curate.labels.values import one_spelling
from curate.labels.words import ADJUDICATION, UNDONE
from curate.pipeline import Row, fresh_records
from curate.sampling import unit_hash
from curate.schema import fingerprint
from curate.stages import label
from curate.web import adjudication
from curate.web.assignment import Candidate, Holds, Wish, chosen
from curate.web.assist import Advice, Assist
from curate.web.said import Said, undone
from curate.web.screen import extent, shown

HOLD_SECONDS = 900
"""How long a page on a rater's screen takes one of its places for raters."""
PACE_PAGES = 30
"""Latest words of a rater that the pace is measured on."""
LONGEST_NAME = 40


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
    seen: int | None = Field(None, ge=0)
    """Characters that were shown before the fold, where a screen folds elsewhere than the desk."""
    after_judge: bool = False
    """Whether the rater changes a first choice after being shown what the judge said."""


@dataclass(frozen=True)
class Tally:
    """How far a rater, and all of them together, have come."""

    labelled_pages: int
    needed: int
    mine: int
    raters: dict[str, int]
    left: int
    """Pages that still want this rater."""
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
    name = one_spelling(given) if isinstance(given, str) else ""
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise BadInput(f"rater: must be a name of 1 to {LONGEST_NAME} characters (got {given!r:.60})")
    return name


class PipelineDesk:
    """The pages and labels of one pipeline, for any number of raters at once. `assist` is when the judge is shown; `only`
    are the pages to serve, in their order (None: all, in a fixed one), and `again` serves them whatever was said of them
    before this desk was opened. Raises BadInput where no pages are drawn, or help is asked of a judge that there is not.

    Who holds which page is known to one server alone; two servers on one workspace lose no label, but may ask two people
    about the same page.
    """

    def __init__(
        self, opened: Opened, *, assist: Assist = "", only: Sequence[str] | None = None, again: bool = False
    ) -> None:
        work = fresh_records(opened)
        if "sample" not in work.records:
            raise BadInput(f"curate label: no pages are drawn yet; run `curate run {opened.file} --until sample`")
        self.opened, self.rubric, self.store = opened, opened.rubric, work.store
        self._sample = work.done("sample")
        self.id = fingerprint(str(opened.workspace.absolute()), self._sample)
        self._pages = {page["page_id"]: page for page in _in_order(work.pages())}
        both = opened.pipeline.label.duplicates
        self._served = {name for name, page in self._pages.items() if both or not page["duplicate_of"]}
        if only is not None:
            self._served &= set(only)
            order = {name: place for place, name in enumerate(only)}
            self._pages = dict(sorted(self._pages.items(), key=lambda item: order.get(item[0], len(order))))
        self._since = datetime.now(UTC).isoformat(timespec="microseconds") if again else ""
        self.assist: Assist = assist
        self._advice = Advice(work) if assist else None
        self._wish = Wish(opened.pipeline.label.overlap, opened.pipeline.label.raters_test)
        self._wanted = {name: self._wish.raters(page) for name, page in self._pages.items()}
        self._lock = threading.Lock()
        self._said = Said(self.store, self.rubric, self._pages)
        self._holds = Holds(HOLD_SECONDS)
        self._counted: tuple[int, label.Report] | None = None

    # What comes next -------------------------------------------------------------------------------------------------

    def ahead(self, rater: str, *, besides: Collection[str] = (), count: int = 1) -> list[Row]:
        """The next pages for a rater, as they are shown, without those in hand already: of pages that want one more rater,
        in the order of `assignment.chosen`. Where the judge is shown before, no page of the sealed test.
        """
        with self._lock:
            self._said.refresh()
            turn = sum(name == rater for (_, name), row in self._said.last.items() if not undone(row)) + len(besides)
            found = chosen(self._candidates(rater, set(besides)), count=count, turn=turn, enough=self._enough())
            for page in found:
                self._holds.take(rater, page["page_id"])
        return [self._shown(page) for page in found]

    def _candidates(self, rater: str, besides: set[str]) -> Iterator[Candidate]:
        opinions, held = self._said.opinions(rater, since=self._since), self._holds.of_others(rater)
        for name, page in self._pages.items():
            has_place = opinions[name] + held[name] < self._wanted[name]
            if has_place and name not in besides and self._may_get(rater, name, opinions):
                yield Candidate(page, opinions[name], held[name] > 0, bool(page["duplicate_of"]))

    def _may_get(self, rater: str, page_id: str, opinions: Mapping[str, int]) -> bool:
        sealed = self.assist == "before" and self._pages[page_id]["split"] == "test"
        wanted = opinions[page_id] < self._wanted[page_id]
        return page_id in self._served and wanted and not sealed and not self._spoke(rater, page_id)

    def _shown(self, page: Mapping[str, Any]) -> Row:
        advice = self._advice.of(page["page_id"]) if self._advice and self.assist == "before" else None
        return {**shown(page), **({"judge": advice} if advice else {})}

    def _spoke(self, rater: str, page_id: str) -> bool:
        last = self._said.last.get((page_id, rater))
        return last is not None and not undone(last) and last["at"] >= self._since

    # What is said ----------------------------------------------------------------------------------------------------

    def save(self, rater: str, given: Given) -> str:
        """Write one word of a rater as one part, at once, and give its label id.

        The same word sent twice is one word. A word that the judge had a part in is marked as assisted. Raises BadInput for
        a page, level or criterion that does not exist, or help on a page of the sealed test, and CurateError when it
        cannot be written.
        """
        self._check(given)
        with self._lock:
            self._said.refresh()
            same = self._said.again(rater, given.page_id, self._word(given))
            return same or self._write(rater, given.page_id, self._word(given, assisted=self._assisted(rater, given)))

    def _word(self, given: Given, *, assisted: bool = False) -> Row:
        judge = f"; judge {self._advice.judge_id} {self.assist}" if self._advice and assisted else ""
        return {
            "level": given.level,
            "criteria": given.criteria,
            "note": given.note.strip(),
            "flag": given.flag,
            "seconds": round(given.seconds, 3),
            "shown": extent(self._pages[given.page_id]["text"], given.unfolded, seen=given.seen) + judge,
            "assisted": assisted,
        }

    def advice(self, page_id: str) -> Row | None:
        """What the judge said, for who has just given a first choice of a page; None where it is not to be shown."""
        return self._advice.of(page_id) if self._advice and self.assist == "after" else None

    def _assisted(self, rater: str, given: Given) -> bool:
        """Whether the rater knew the judge's word: by how the desk was opened, because they were shown it after an earlier
        word on the page, taken back or not, or were ever helped with it. Raises BadInput where they must not have been."""
        advised = self._advice is not None and self._advice.of(given.page_id) is not None
        if self.assist == "before" and self._pages[given.page_id]["split"] == "test" and not given.flag:
            raise BadInput(
                "page_id: this page is sealed; it is labelled without help, at a desk without --assist before"
            )
        told = self.assist == "after" and advised and self._said.gave_level(rater, given.page_id)
        if given.after_judge and not told:
            raise BadInput("after_judge: nobody was shown what the judge says of this page after a first choice")
        return told or (self.assist == "before" and advised) or self._said.was_helped(rater, given.page_id)

    # Settling disagreements ------------------------------------------------------------------------------------------

    def disputes(self, *, names: bool = False, rater: str = "") -> list[Row]:
        """Pages that their raters part on and nobody has settled, as they are shown, with what each `said`: those first
        where some would keep the page and some would not, then by how far they are apart. `own` says whether `rater` is
        one of them."""
        with self._lock:
            self._said.refresh()
            settled = {page_id for (page_id, _), row in self._said.rulings.items() if row["level"] is not None}
            parted = [
                (words, levels)
                for page_id, words in self._standing().items()
                if page_id not in settled and adjudication.part(levels := [row["level"] for row in words])
            ]
        parted.sort(key=lambda one: adjudication.weight(one[1], self.rubric), reverse=True)
        return [
            {
                **shown(self._pages[words[0]["page_id"]]),
                "border": adjudication.across_border(levels, self.rubric),
                "said_by": adjudication.sides(words, names=names),
                "own": any(row["rater"] == rater for row in words),
            }
            for words, levels in parted
        ]

    def settle(self, rater: str, given: Given) -> str:
        """Write what is true of a page that raters part on; its label id. Raises BadInput as `save`, or where they do not."""
        self._check(given)
        if given.flag:
            raise BadInput("flag: a disagreement is settled by a level; leave the page for later instead")
        with self._lock:
            self._said.refresh()
            words = self._standing().get(given.page_id, [])
            if not adjudication.part([row["level"] for row in words]):
                raise BadInput("page_id: raters do not part on this page; show the list again")
            return self._write(rater, given.page_id, self._word(given), role=ADJUDICATION)

    def _standing(self) -> dict[str, list[Row]]:
        """Raters' labels by page, in the order of the desk."""
        found = self._said.standing()
        return {name: found[name] for name in self._pages if name in found}

    def _write(self, rater: str, page_id: str, word: Row, *, role: str = "") -> str:
        saved = self._said.write(rater, page_id, word, role=role)
        self._holds.leave(rater, page_id)
        return saved

    def undo(self, rater: str, label_id: str) -> Row:
        """Take back a rater's last word on a page; gives the page, with what was `said` of it.

        Taken back twice is taken back once. Raises BadInput when it is not this rater's last word on the page.
        """
        with self._lock:
            self._said.refresh()
            word = self._said.words.get(label_id)
            role = (word or {}).get("role") or ""
            last = word and self._said.of(role).get((word["page_id"], rater))
            if not word or not last or (last is not word and not undone(last)):
                raise BadInput("undo: there is nothing to take back; show the page again to see where you are")
            if last is word:
                self._write(rater, word["page_id"], {"level": None, "flag": UNDONE, "shown": word["shown"]}, role=role)
                self._counted = None
        said = {key: word[key] for key in ("level", "note", "flag")}
        return {**self._shown(self._pages[word["page_id"]]), "said": said}

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
            self._said.refresh()
            given = [row for row in self._said.last.values() if row["level"] is not None]
            here = sorted(
                (row for (_, name), row in self._said.last.items() if name == rater and row["shown"]),
                key=lambda row: (str(row["at"]), str(row["label_id"])),
            )
            here = [row for row in here if not undone(row)]
            raters, opinions = Counter(row["rater"] for row in given), self._said.opinions(rater, since=self._since)
            return Tally(
                labelled_pages=len({row["page_id"] for row in given}),
                needed=self._needed,
                mine=raters[rater],
                raters=dict(sorted(raters.items())),
                left=sum(self._may_get(rater, name, opinions) for name in self._served),
                pages_an_hour=_pace(here),
                enough=self._enough(),
                problems=list(self._counted[1].problems) if self._counted else [],
                undo=here[-1]["label_id"] if here else None,
            )

    def raters(self) -> list[str]:
        """The names that labels are stored under."""
        with self._lock:
            self._said.refresh()
            return sorted({name for _, name in self._said.last})

    @property
    def _needed(self) -> int:
        return min(self.opened.pipeline.label.needed, len(self._served))

    def _enough(self) -> bool:
        """Whether tuning may begin, counted as by the stage that decides it; counted again only while the number of pages
        is there and the last answer was no."""
        if len({row["page_id"] for row in self._said.last.values() if row["level"] is not None}) < self._needed:
            self._counted = None
            return False
        if self._counted is None or not (self._counted[1].enough or self._counted[0] == self._said.parts):
            last = [
                row for row in (*self._said.last.values(), *self._said.rulings.values()) if row["level"] is not None
            ]
            found = label.count(self.opened.pipeline.label, self.rubric, last, list(self._pages.values()))
            self._counted = self._said.parts, found
        return self._counted[1].enough


def _in_order(pages: Iterable[Row]) -> list[Row]:
    """The pages in a fixed pseudo-random order, so that the first n are a fair draw for every split."""
    return sorted(pages, key=lambda page: unit_hash("label", page["page_id"]))


def _check_level(key: str, level: int | None, levels: Mapping[int, str]) -> None:
    if level is not None and level not in levels:
        raise BadInput(f"{key}: must be one of the levels 0..{max(levels)} (got {level})")


def _pace(words: list[Row]) -> float | None:
    """Labels an hour; the time of pages that were skipped or flagged counts, they do not."""
    latest = words[-PACE_PAGES:]
    labels, seconds = sum(row["level"] is not None for row in latest), sum(row["seconds"] or 0 for row in latest)
    return round(3600 * labels / seconds, 1) if labels and seconds else None
