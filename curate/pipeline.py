"""The order of the stages: what is fresh, what must run, what it would cost, and the run itself."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from curate import judge as judges
from curate.config import STAGES, Opened, stage_between
from curate.errors import BadInput, CurateError
from curate.judge import Form, Judge, Layout
from curate.metrics import worth_keeping
from curate.models import Models, weights_hash
from curate.progress import Progress
from curate.schema import fingerprint, page_id
from curate.sources import source_fingerprint
from curate.stages import distill, filter, label, report, sample, score, tune
from curate.stages.tune import Labelled
from curate.store import Store

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One stage of a plan or a run."""

    stage: str
    state: str
    """`fresh`, `must run`, `waits for STAGE`, `done`, or `needs labels`."""
    fingerprint: str = ""
    words: str = ""
    calls: int = 0
    usd: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    lines: list[Line]
    missing_labels: label.Report | None = None
    records: dict[str, Row] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether all asked stages are done."""
        return self.missing_labels is None


class Work:
    """One pipeline at work: the workspace, the inputs of each stage and the records of what is done."""

    def __init__(self, opened: Opened, progress: Progress) -> None:
        self.opened, self.progress = opened, progress
        self.p, self.rubric = opened.pipeline, opened.rubric
        self.store = Store(opened.workspace)
        self.models = Models(opened, progress)
        self.records: dict[str, Row] = {}
        self._weights: str | None = None

    # What a stage depends on -----------------------------------------------------------------------------------------

    def inputs(self, stage: str) -> dict[str, Any]:
        """Everything that decides what a stage makes; its fingerprint is the stage's name. Needs the earlier records."""
        inputs: dict[str, Any] = getattr(self, f"_inputs_{stage}")()
        return inputs

    def _inputs_sample(self) -> dict[str, Any]:
        return {"settings": self.p.sample.model_dump(), "source": source_fingerprint(self.p.source, self.opened.shards)}

    def _inputs_label(self) -> dict[str, Any]:
        files = source_fingerprint(*self.opened.labels) if self.opened.labels else ""
        return {
            "settings": self.p.label.model_dump(),
            "sample": self.done("sample"),
            "file": files,
            "levels": [self.rubric.keep, list(self.rubric.levels)],
            "labels": label.labels_fingerprint(self.labels()),
        }

    def _inputs_tune(self) -> dict[str, Any]:
        return {
            "settings": self.p.tune.model_dump(),
            "rubric": self.rubric.hash,
            "judge": [
                self.p.judge.model,
                self.weights(),
                self.p.judge.page_chars,
                self.p.judge.logprobs,
                self.p.judge.reflection_model,
            ],
            "labelled": [[page_id(p.text), p.split, p.group, p.said] for p in self.labelled("train", "val")],
        }

    def _inputs_score(self) -> dict[str, Any]:
        return {
            "pages": self.p.score.pages,
            "sample": self.done("sample"),
            "judges": [self.record("tune")["report"]["untuned_id"], self.record("tune")["report"]["tuned_id"]],
            "labelled": sorted(self.truth()),
        }

    def _inputs_distill(self) -> dict[str, Any]:
        return {
            "settings": self.p.distill.model_dump(),
            "score": self.done("score"),
            "labelled": [[page_id(p.text), p.split, p.group, p.said] for p in self.labelled("train", "val")],
            "keep": self.rubric.keep,
        }

    def _inputs_filter(self) -> dict[str, Any]:
        source, found = self.opened.corpus
        return {
            "settings": self.p.filter.model_dump(exclude={"source", "workers"}),
            "classifier": self.record("distill")["report"]["classifier_id"],
            "corpus": source_fingerprint(source, found),
        }

    def _inputs_report(self) -> dict[str, Any]:
        return {
            "settings": self.p.report.model_dump(),
            "rubric": self.rubric.hash,
            "labels": label.labels_fingerprint(self.labels()),
            **{stage: self.done(stage) for stage in STAGES[:-1]},
        }

    def done(self, stage: str) -> str:
        """The fingerprint under which an earlier stage is done."""
        return str(self.record(stage)["fingerprint"])

    def record(self, stage: str) -> Row:
        """The record of an earlier stage."""
        return self.records[stage]

    def weights(self) -> str:
        """SHA-256 of the judge's weights, read once."""
        if self._weights is None:
            self._weights = weights_hash(self.p.judge, self.opened.file.absolute().parent)
        return self._weights

    # What the tables say ---------------------------------------------------------------------------------------------

    def pages(self) -> list[Row]:
        """The sampled pages."""
        return self.store.rows("pages", self.done("sample"))

    def labels(self) -> list[Row]:
        """Each rater's last word on each sampled page."""
        known = set(self.store.read("pages", self.done("sample")).column("page_id").to_pylist())
        return [row for row in label.current(self.store.rows("labels")) if row["page_id"] in known]

    def truth(self) -> dict[str, list[Row]]:
        """Labels by page id."""
        found: dict[str, list[Row]] = {}
        for row in sorted(self.labels(), key=lambda r: str(r["rater"])):
            found.setdefault(row["page_id"], []).append(row)
        return found

    def labelled(self, *splits: str) -> list[Labelled]:
        """Labelled pages of some splits, in a fixed order."""
        truth = self.truth()
        pages = [
            p
            for p in sorted(self.pages(), key=lambda p: str(p["page_id"]))
            if p["split"] in splits and p["page_id"] in truth
        ]
        means = [sum(row["level"] for row in truth[p["page_id"]]) / len(truth[p["page_id"]]) for p in pages]
        return [
            Labelled(
                page_id=page["page_id"],
                text=page["text"],
                split=page["split"],
                group=page["group_id"],
                truth=mean,
                keep=bool(keep),
                said=tuple((row["rater"], row["level"], row["note"]) for row in truth[page["page_id"]]),
            )
            for page, mean, keep in zip(pages, means, worth_keeping(means, self.rubric.keep), strict=True)
        ]

    def make_judge(self, form: Form, layout: Layout) -> Judge:
        """The judge with the rubric's own words."""
        judge = self.p.judge
        return judges.of_rubric(
            self.rubric,
            form,
            model=judge.model,
            layout=layout,
            page_chars=judge.page_chars,
            weights=self.weights(),
            logprobs=judge.logprobs,
        )

    def judge(self, which: str) -> Judge:
        """The frozen `tuned` or `untuned` judge."""
        return judges.load(self.store.root / "judges", self.record("tune")["report"][f"{which}_id"])

    def to_score(self) -> list[tuple[Judge, Sequence[Mapping[str, Any]]]]:
        """The tuned judge scores the sample, the untuned one the sealed labelled pages, for the comparison."""
        truth = set(self.truth())
        pages = score.chosen(self.pages(), truth, self.p.score)
        sealed = [p for p in pages if p["split"] == "test" and p["page_id"] in truth]
        return [(self.judge("tuned"), pages), (self.judge("untuned"), sealed)]

    def scopes(self) -> dict[str, str]:
        """Which folder of each table is the present one, for SQL."""
        scopes = {}
        for table, stage in (("pages", "sample"), ("decisions", "filter"), ("candidates", "tune")):
            if stage in self.records:
                scopes[table] = self.done(stage)
        return scopes

    # Running ---------------------------------------------------------------------------------------------------------

    def find(self, stage: str) -> tuple[str, Row | None]:
        """A stage's fingerprint and its record, if it is fresh."""
        name = fingerprint(stage, self.inputs(stage))
        return name, self.store.record(stage, name)

    def run_stage(self, stage: str, name: str) -> Any:
        """Run one stage and give its report."""
        return getattr(self, f"_run_{stage}")(name)

    def _run_sample(self, name: str) -> sample.Report:
        return sample.run(
            self.store,
            self.p.sample,
            source=self.p.source,
            shards=self.opened.shards,
            name=name,
            progress=self.progress,
        )

    def _run_label(self, name: str) -> label.Report:
        return label.run(
            self.store,
            self.p.label,
            rubric=self.rubric,
            labels_source=self.opened.labels,
            pages=self.done("sample"),
            progress=self.progress,
        )

    def _run_tune(self, name: str) -> tune.Report:
        client = self.models.judge()
        reflect = self.models.reflection().for_("reflect").complete if self.p.tune.reflection == "model" else None
        return tune.run(
            self.store,
            self.p.tune,
            rubric=self.rubric,
            pages=self.labelled("train", "val"),
            make=self.make_judge,
            complete=client.for_("tune").complete,
            reflect=reflect,
            threads=1 if self.p.judge.model.startswith("local/") else self.p.judge.concurrency,
            name=name,
            progress=self.progress,
        )

    def _run_score(self, name: str) -> score.Report:
        work = self.to_score()
        left = sum(len(score.missing(self.store, judge, pages)) for judge, pages in work)
        complete_many = self.models.judge().for_("score").complete_many if left else _nothing_to_ask
        return score.run(self.store, self.p.score, work=work, complete_many=complete_many, progress=self.progress)

    def _run_distill(self, name: str) -> distill.Report:
        tuned = self.judge("tuned")
        return distill.run(
            self.store,
            self.p.distill,
            pages=[p for p in self.pages() if p["split"] != "test"],
            judgments=self._judged(tuned),
            truth={p.page_id: p.truth for p in self.labelled("train", "val")},
            rubric=self.rubric,
            judge_id=tuned.id,
            progress=self.progress,
        )

    def _judged(self, judge: Judge) -> dict[str, Row]:
        rows = self.store.sql("SELECT * FROM judgments WHERE judge_id = ? ORDER BY page_id", [judge.id]).to_pylist()
        return {row["page_id"]: row for row in rows}

    def _run_filter(self, name: str) -> filter.Report:
        source, found = self.opened.corpus
        return filter.run(
            self.store,
            self.p.filter,
            source=source,
            shards=found,
            classifier_id=self.record("distill")["report"]["classifier_id"],
            embedder=self.p.distill.embedder,
            max_tokens=self.p.distill.max_tokens,
            name=name,
            progress=self.progress,
        )

    def _run_report(self, name: str) -> report.Report:
        return report.run(
            self.store,
            self.p.report,
            pipeline_name=self.p.name,
            rubric=self.rubric,
            pages=self.pages(),
            labels=self.labels(),
            judged={which: self._judged(self.judge(which)) for which in ("untuned", "tuned")},
            judges={which: self.judge(which) for which in ("untuned", "tuned")},
            records=self.records,
            spend=self.models.spend.by_purpose(),
            max_tokens=self.p.distill.max_tokens,
            name=name,
            progress=self.progress,
        )


def _nothing_to_ask(requests: Any) -> Iterator[Any]:
    if list(requests):
        raise CurateError("score: pages were left over that no model was started for; run the same command again")
    return iter(())


def run(
    opened: Opened, *, progress: Progress, until: str = "report", first: str = "", on_line: Callable[[Line], None]
) -> Result:
    """Run the stages up to `until` that are not fresh; from `first` on, also those that are.

    Stops before `tune`, without an error, when labels are missing. Raises CurateError when a stage fails; what was
    recorded until then stays and the next run goes on from it.
    """
    work = Work(opened, progress)
    before = work.models.spend.total_usd
    progress.show_spend(lambda: work.models.spend.total_usd - before)
    lines: list[Line] = []
    again = stage_between(first, "report") if first else ()
    with work.models, work.store.lock():
        for stage in stage_between("sample", until):
            line = _one(work, stage, stage in again)
            lines.append(line)
            on_line(line)
            if stage == "label" and until != "label" and line.state == "needs labels":
                return Result(lines, label.Report(**work.records["label"]["report"]), work.records)
    return Result(lines, None, work.records)


def _one(work: Work, stage: str, again: bool) -> Line:
    name, record = work.find(stage)
    if record is not None and not again:
        work.records[stage] = record
        state = "needs labels" if stage == "label" and not label.Report(**record["report"]).enough else "fresh"
        return Line(stage, state, name, summary(stage, record["report"]))
    start, spent = time.monotonic(), work.models.spend.total_usd
    found = work.run_stage(stage, name)
    if stage == "label":
        name, _ = work.find(stage)
    seconds, usd = time.monotonic() - start, work.models.spend.total_usd - spent
    record = {
        "stage": stage,
        "fingerprint": name,
        "inputs": work.inputs(stage),
        "report": found.as_dict(),
        "seconds": round(seconds, 3),
        "usd": usd,
    }
    work.store.write_record(stage, name, record)
    work.records[stage] = record
    state = "needs labels" if stage == "label" and not found.enough else "done"
    return Line(stage, state, name, summary(stage, record["report"]), usd=usd, seconds=seconds)


def plan(opened: Opened, *, until: str = "report", first: str = "") -> list[Line]:
    """What a run would do, without doing it: fresh stages, stages to run with their calls and cost, and what waits."""
    work = Work(opened, _silent())
    lines: list[Line] = []
    again = stage_between(first, "report") if first else ()
    waiting = ""
    for stage in stage_between("sample", until):
        if waiting:
            calls, usd = _estimate(work, stage)
            lines.append(Line(stage, f"waits for {waiting}", words=_estimate_words(calls, usd), calls=calls, usd=usd))
            continue
        name, record = work.find(stage)
        if record is not None and stage not in again:
            work.records[stage] = record
            enough = stage != "label" or label.Report(**record["report"]).enough
            lines.append(Line(stage, "fresh" if enough else "needs labels", name, summary(stage, record["report"])))
        else:
            calls, usd = _estimate(work, stage)
            lines.append(Line(stage, "must run", name, _estimate_words(calls, usd), calls, usd))
        waiting = stage if lines[-1].state != "fresh" else ""
    return lines


def fresh_records(opened: Opened) -> Work:
    """The work with the records of all stages that are fresh, up to the first that is not."""
    work = Work(opened, _silent())
    for stage in STAGES:
        _, record = work.find(stage)
        if record is None:
            break
        work.records[stage] = record
    return work


def _silent() -> Progress:
    from curate.progress import Quiet

    return Quiet()


def _estimate(work: Work, stage: str) -> tuple[int, float | None]:
    """Calls that a stage would make at most, and their cost in USD (None where the price is unknown)."""
    from curate.llm import Endpoint, price

    p, forms = work.p, judges.usable_forms(work.rubric, work.p.tune.forms)
    sizes = _sizes(work)
    if stage == "tune":
        train, val = sizes["train"], sizes["val"]
        screened = min(p.tune.screen_pages or train, train) * sum(len(judges.ORDERS.get(f, ("",))) for f in forms)
        most = max(len(judges.ORDERS.get(f, ("",))) for f in forms) if forms else 1
        searches = p.tune.max_metric_calls // (2 * p.tune.minibatch) + 1
        compared = (p.tune.finalists + 1) * (train + val)
        calls = screened + most * (p.tune.max_metric_calls + searches * p.tune.anchors + compared) + val
    elif stage == "score":
        if "tune" in work.records:
            calls = sum(
                len(score.missing(work.store, judge, pages)) * len(judge.orders) for judge, pages in work.to_score()
            )
        else:
            calls = 2 * sizes["scored"] + sizes["labelled"]
    else:
        return 0, 0.0
    tokens = min(p.judge.page_chars, sizes["chars"]) / 4 + 120
    each = (
        (0.0, 0.0)
        if p.judge.model.startswith("local/")
        else price(
            Endpoint(
                model=p.judge.model,
                api_base=p.judge.api_base or None,
                input_usd_per_million=p.judge.input_usd_per_million,
                output_usd_per_million=p.judge.output_usd_per_million,
            )
        )
    )
    return calls, None if each is None else calls * (tokens * each[0] + each[1] * 2)


def _sizes(work: Work) -> dict[str, int]:
    """Pages by what is done with them: counted where the sample is drawn, else from the settings."""
    p = work.p
    if "sample" in work.records:
        counts, truth = (
            work.store.sql(
                "SELECT count(*) AS n, avg(length(text)) AS chars FROM pages", scopes={"pages": work.done("sample")}
            ).to_pylist()[0],
            work.truth(),
        )
        pages, chars = int(counts["n"]), int(counts["chars"] or 0)
        by_split = {s: len(work.labelled(s)) for s in ("train", "val")}
        labelled = len(truth)
    else:
        rows = sum(s.rows or 0 for s in work.opened.shards) or p.sample.pages or 2000
        pages, chars = min(p.sample.pages or rows, rows), p.judge.page_chars
        labelled = min(p.label.needed, pages)
        shares = p.sample.shares
        total = shares.train + shares.val + shares.test
        by_split = {"train": round(labelled * shares.train / total), "val": round(labelled * shares.val / total)}
    scored = min(max(p.score.pages or pages, labelled), pages)
    return {**by_split, "labelled": labelled, "scored": scored, "chars": chars}


def _estimate_words(calls: int, usd: float | None) -> str:
    if not calls:
        return ""
    cost = "cost unknown: set judge.input_usd_per_million" if usd is None else f"about ${usd:,.2f}"
    return f"at most {calls:,} calls, {cost}"


def summary(stage: str, r: Mapping[str, Any]) -> str:
    """One line that says what a stage made."""
    match stage:
        case "sample":
            splits = ", ".join(f"{n:,} {s}" for s, n in r["splits"].items())
            skipped = "".join(f", {n:,} {why}" for why, n in r["skipped"].items())
            return f"{r['drawn']:,} of {r['seen']:,} pages ({splits}); {r['groups']:,} groups, {r['near_duplicate_pairs']:,} near-duplicate pairs{skipped}"
        case "label":
            return f"{r['labels']:,} labels by {len(r['raters'])} raters on {r['labelled_pages']:,} pages"
        case "tune":
            val = r["val"]
            return f"{r['form']} form, {r['chosen']}; AUC on val {_two(val['untuned_auc'])} untuned, {_two(val['tuned_auc'])} tuned; {r['accepted']} of {r['proposals']} proposals accepted"
        case "score":
            bad = sum(n for statuses in r["judges"].values() for status, n in statuses.items() if status != "ok")
            return f"{sum(sum(s.values()) for s in r['judges'].values()):,} judgments, {bad:,} without a level"
        case "distill":
            return f"classifier {r['classifier_id'][:8]} on {r['trained_on']:,} pages, {'+'.join(r['features'])}; cross-validated AUC {_two(r['cv_auc'])}"
        case "filter":
            return f"kept {r['kept']:,} of {r['pages']:,} pages ({r['kept'] / max(r['pages'], 1):.0%})"
        case _:
            return str(r["html"])


def _two(estimate: Mapping[str, Any]) -> str:
    return "-" if estimate["value"] is None else f"{estimate['value']:.2f}".removeprefix("0")


def next_step(opened: Opened, missing: label.Report) -> str:
    """What to do when labels are missing: which command, how many."""
    command = f"curate label {opened.file}"
    if missing.missing:
        have = missing.labelled_pages
        return f"{missing.missing} more labelled pages are needed before tuning ({have} of {have + missing.missing}): run `{command}`, or name a file under label.labels_from"
    return f"labels are not enough yet: {'; '.join(missing.problems)}. Run `{command}` for more"


def line_dict(line: Line) -> Row:
    """For `--json`."""
    return asdict(line)


def workspace_path(opened: Opened) -> Path:
    """Where a pipeline's tables are. Raises BadInput when nothing was run yet."""
    if not opened.workspace.is_dir():
        raise BadInput(f"{opened.workspace}: no workspace yet; run `curate run {opened.file}` first")
    return opened.workspace
