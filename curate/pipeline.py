"""The order of the stages: what is fresh, what must run, what it would cost, and the run itself."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from curate import judge as judges
from curate import rubric as rubrics
from curate.classifier import PageClassifier
from curate.config import STAGES, Opened, open_pipeline, stage_between
from curate.errors import BadInput, CurateError, did_you_mean
from curate.judge import Form, Judge, Layout
from curate.labels.truth import truth_of
from curate.llm import Client
from curate.models import Models, served_by, weights_hash
from curate.progress import Progress
from curate.sampling import unit_hash
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


def stages_of(opened: Opened) -> tuple[str, ...]:
    """The stages that a pipeline has: without distill and filter where its rubric names no class worth keeping (a quiz)."""
    return tuple(stage for stage in STAGES if opened.rubric.kept or stage not in ("distill", "filter"))


def between(opened: Opened, first: str, last: str) -> tuple[str, ...]:
    """The pipeline's stages from `first` to `last`. Raises BadInput for a last one that it does not have."""
    own = stages_of(opened)
    if last not in own:
        raise BadInput(
            f"{last}: rubric {opened.rubric.name} names no class worth keeping, so there is nothing to {last}"
        )
    return tuple(stage for stage in stage_between(first, last) if stage in own)


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
            "levels": [sorted(self.rubric.kept), list(self.rubric.names.items())],
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
                self._asked_with(),
            ],
            "labelled": [
                [page_id(p.text), p.split, p.group, p.said, sorted(p.criteria.items())] for p in self.to_tune()
            ],
            **self._how(),
            "grader": self._grader_hash(),
        }

    def _grader_hash(self) -> str:
        path = self.p.tune.grader_rubric
        return rubrics.load(self.opened.file.absolute().parent / path).hash if path else ""

    def _inputs_score(self) -> dict[str, Any]:
        return {
            "pages": self.p.score.pages,
            "injections": self.p.score.injections,
            "sample": self.done("sample"),
            "judges": [self.judge("untuned").id, self.judge("tuned").id],
            "labelled": sorted(self.truth()),
        }

    def _inputs_distill(self) -> dict[str, Any]:
        return {
            "settings": self.p.distill.model_dump(exclude={"backend", "devices"}),
            "score": self.done("score"),
            "labelled": [[page_id(p.text), p.split, p.group, p.said] for p in self.labelled("train", "val")],
            "keep": sorted(self.rubric.kept),
            **self._how(),
        }

    def _inputs_filter(self) -> dict[str, Any]:
        source, found = self.opened.corpus
        return {
            "settings": self.p.filter.model_dump(exclude={"source", "workers"}),
            "classifier": self.record("distill")["report"]["classifier_id"],
            "sample": self.done("sample"),
            "corpus": source_fingerprint(source, found),
            **({"also": {name: path.name for name, path in self.also().items()}} if self.p.filter.also else {}),
        }

    def also(self) -> dict[str, Path]:
        """The folders of `filter.also`, by name: of a pipeline, that of its newest classifier. Raises BadInput where there
        is none."""
        found = {}
        for name, given in self.p.filter.also.items():
            path = self.opened.file.absolute().parent / given
            if path.suffix in (".yaml", ".yml"):
                store = Store(open_pipeline(path).workspace)
                records = store.records("distill")
                if not records:
                    raise BadInput(
                        f"filter.also.{name}: {given} has no classifier yet; run `curate run {given} --until distill`"
                    )
                path = store.root / "classifiers" / records[-1]["report"]["classifier_id"]
            if not (path / "classifier.json").exists():
                raise BadInput(f"filter.also.{name}: {given} is neither the folder of a classifier nor a pipeline file")
            found[name] = path
        return found

    def _inputs_report(self) -> dict[str, Any]:
        return {
            "settings": self.p.report.model_dump(),
            "rubric": self.rubric.hash,
            "labels": label.labels_fingerprint(self.labels()),
            **self._how(),
            **{stage: self.done(stage) for stage in stages_of(self.opened)[:-1]},
        }

    def _how(self) -> dict[str, Any]:
        """How raters are put together, where not by the mean: what was made by that keeps its name."""
        how = self.p.label.consensus
        return {} if how == "mean" else {"consensus": how}

    def done(self, stage: str) -> str:
        """The fingerprint under which an earlier stage is done; of the sample, that of the last round drawn."""
        record = self.record(stage)
        return str((stage == "sample" and record["report"].get("name")) or record["fingerprint"])

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
        split = {p["page_id"]: p["split"] for p in self.pages()}
        levels = truth_of(self.labels(), self.rubric, how=self.p.label.consensus, splits=split)
        pages = [p for p in self._in_order(*splits) if p["page_id"] in levels]
        means = [levels[p["page_id"]] for p in pages]
        return [
            _as_labelled(
                page,
                mean,
                bool(keep),
                said=tuple((row["rater"], row["level"], row["note"]) for row in truth[page["page_id"]]),
                criteria=_mean_criteria(truth[page["page_id"]]),
            )
            for page, mean, keep in zip(pages, means, self.rubric.worth(means), strict=True)
        ]

    def make_judge(self, form: Form, layout: Layout, *, model: tune.ModelChoice | None = None) -> Judge:
        """The judge with the rubric's own words, by judge.model or another."""
        judge = self.p.judge
        other = {} if model is None else {"served": served_by(model.model, model.api_base)}
        return judges.of_rubric(
            self.rubric,
            form,
            model=judge.model if model is None else model.model,
            layout=layout,
            page_chars=judge.page_chars,
            weights=self.weights() if model is None else self.models.weights_of(model.model),
            logprobs=judge.logprobs,
            **{**self._asked_with(), **other},
        )

    def _asked_with(self) -> dict[str, Any]:
        """What else is frozen with a judge."""
        judge = self.p.judge
        return {
            "page_tokens": judge.page_tokens,
            "cut": judge.cut,
            "temperature": judge.temperature,
            "seed": judge.seed,
            "reasoning_effort": judge.reasoning_effort,
            "quantisation": judge.quantisation,
            "served": self.models.served(),
            **({"max_tokens": judge.max_tokens} if judge.max_tokens else {}),
        }

    @property
    def judges(self) -> Path:
        """The folder of frozen judges."""
        return self.store.root / "judges"

    def judge(self, which: str) -> Judge:
        """The frozen `untuned` judge, or the `tuned` one: the one that scores, where score.judge names another."""
        other = self.p.score.judge
        if which == "tuned" and other:
            return self._other_judge(other)
        return judges.load(self.judges, self.record("tune")["report"][f"{which}_id"])

    def _other_judge(self, named: str) -> Judge:
        """Raises BadInput when it is not there, was edited, or is asked otherwise than it was tuned with."""
        path = self.opened.file.absolute().parent / named
        folder, name = (path.parents[1], path.parent.name) if path.suffix == ".json" else (self.judges, named)
        found = judges.load(folder, name)
        models = [m.model for m in self.p.tune.models]
        now = {"model": self.p.judge.model, "weights": self.weights(), "served": self.models.served()}
        wrong = "" if found.model in models else judges.mismatch(found, **now)
        if wrong and not self.p.score.force:
            raise BadInput(f"score.judge: {wrong}; score.force=true scores with it all the same")
        return found

    def judge_named(self, which: str) -> Judge:
        """The `tuned` or `untuned` judge, or the one of the workspace whose id begins so. Raises BadInput for a name that
        none, or more than one, has."""
        if which in ("tuned", "untuned"):
            return self.judge(which)
        known = sorted(path.name for path in self.judges.iterdir() if path.is_dir()) if self.judges.is_dir() else []
        found = [name for name in known if name.startswith(which)]
        if len(found) != 1:
            what = f"{len(found)} judges begin with it" if found else "no such judge in the workspace"
            raise BadInput(f"{which}: {what}{did_you_mean(which, ['tuned', 'untuned', *known])}")
        return judges.load(self.judges, found[0])

    def to_score(self) -> list[tuple[Judge, Sequence[Mapping[str, Any]]]]:
        """The tuned judge scores the sample, the untuned one the sealed labelled pages, for the comparison."""
        truth = set(self.truth())
        pages = score.chosen(self.pages(), truth, self.p.score)
        sealed = [p for p in pages if p["split"] == "test" and p["page_id"] in truth]
        return [(self.judge("tuned"), pages), (self.judge("untuned"), sealed)]

    def scopes(self) -> dict[str, str]:
        """Which folder of each table is the present one, for SQL."""
        scopes = {}
        of = {"pages": "sample", "decisions": "filter", "candidates": "tune", "candidate_scores": "tune"}
        for table, stage in of.items():
            if stage in self.records:
                scopes[table] = self.done(stage)
        return scopes

    # Running ---------------------------------------------------------------------------------------------------------

    def find(self, stage: str) -> tuple[str, Row | None]:
        """A stage's fingerprint and its record, if it is fresh."""
        name = fingerprint(stage, self.inputs(stage))
        record = self.store.record(stage, name)
        if stage == "sample" and record and record["report"].get("waiting") and self.store.records("distill"):
            return name, None  # a round that waited for a classifier can be drawn now
        return name, record

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
            prefixes=sample.names(self.p.sample, self._inputs_sample()["source"])[:-1],
            embed=self._embed,
            informative=self._informative(),
            progress=self.progress,
        )

    def _embed(self, texts: Sequence[str]) -> Any:
        return distill.embedder_of(self.p.distill).embed(texts)

    def _informative(self) -> sample.Informative | None:
        """How much pages would teach by the newest classifier: most where it is least sure on which side of the threshold
        they fall. None where there is no classifier yet."""
        distilled = self.store.records("distill")
        if not distilled:
            return None
        report = distilled[-1]["report"]
        filtered = [r for r in self.store.records("filter") if r["inputs"].get("classifier") == report["classifier_id"]]
        threshold = filtered[-1]["report"]["threshold"]["value"] if filtered else 0.5

        def unsure(pages: Sequence[Mapping[str, Any]]) -> Any:
            classifier = PageClassifier.load(self.store.root / "classifiers" / report["classifier_id"])
            texts = [str(page["text"]) for page in pages]
            vectors = self._embed(texts) if classifier.needs_embedding and texts else None
            return -abs(classifier.probability_of(classifier.predict_texts(texts, vectors)) - threshold)

        return unsure

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
        settings, reflect, grade, rubric = self.p.tune, None, None, None
        if settings.reflection == "model":
            reflect = self.models.reflection().for_("reflect").complete
        if settings.grader_rubric:
            grade = self.models.grader().for_("grade").complete
            rubric = rubrics.load(self.opened.file.absolute().parent / settings.grader_rubric)
        given: dict[str, Any] = {
            "rubric": self.rubric,
            "pages": self.to_tune(),
            "reflect": reflect,
            "name": name,
            "progress": self.progress,
            "spent": lambda: self.models.spend.total_usd,
            "folder": self.store.root / "searches" / name,
            "grader_rubric": rubric,
            "grade": grade,
        }
        if settings.models:
            return tune.run_models(self.store, settings, models=[self._model(m) for m in settings.models], **given)
        return tune.run(
            self.store,
            settings,
            make=self.make_judge,
            complete=self.models.judge().for_("tune").complete,
            threads=1 if self.p.judge.model.startswith("local/") else self.p.judge.concurrency,
            ends=self.models.ends(),
            **given,
        )

    def to_tune(self) -> list[Labelled]:
        """The labelled pages of train and val; with tune.labels=judge:ID as that judge judged them, and with a rubric
        grader also pages that nobody labelled."""
        if self.p.tune.labels:
            return self._as_judged(self.p.tune.labels)
        found = self.labelled("train", "val")
        return found + self._unlabelled(self.p.tune.unlabelled_pages, {p.page_id for p in found})

    def _as_judged(self, named: str) -> list[Labelled]:
        """Pages of train and val with what a judge of the workspace said in place of labels. Raises BadInput where it
        judged none."""
        teacher = self.judge_named(named.removeprefix("judge:"))
        said = {name: row for name, row in self._judged(teacher).items() if row["status"] == "ok"}
        pages = [p for p in self._in_order("train", "val") if p["page_id"] in said]
        if not pages:
            raise BadInput(f"tune.labels: judge {teacher.id} has judged no page of train and val in this workspace")
        truth = [float(said[p["page_id"]]["level" if self.rubric.scale == "choice" else "expected"]) for p in pages]
        return [
            _as_labelled(
                page,
                level,
                bool(keep),
                said=((f"judge:{teacher.id[:8]}", level, said[page["page_id"]]["reason"] or ""),),
                criteria=json.loads(said[page["page_id"]]["criteria"] or "{}"),
            )
            for page, level, keep in zip(pages, truth, self.rubric.worth(truth), strict=True)
        ]

    def _unlabelled(self, count: int, known: set[str]) -> list[Labelled]:
        pages = [p for p in self._in_order("train", "val") if p["page_id"] not in known and not p["duplicate_of"]]
        return [
            _as_labelled(page, math.nan, False)
            for page in sorted(pages, key=lambda p: unit_hash("unlabelled", p["page_id"]))[:count]
        ]

    def _in_order(self, *splits: str) -> list[Row]:
        return sorted((p for p in self.pages() if p["split"] in splits), key=lambda p: str(p["page_id"]))

    def _model(self, choice: tune.ModelChoice) -> tune.Model:
        client = self.models.client_of(choice)
        local = choice.model.startswith("local/")
        return tune.Model(
            name=choice.name or choice.model,
            make=partial(self.make_judge, model=choice),
            complete=client.for_("tune").complete,
            usd_per_hour=choice.usd_per_hour,
            threads=1 if local else self.p.judge.concurrency,
            ends=self.models.ends_of(choice.model, client),
        )

    def _run_score(self, name: str) -> score.Report:
        work, attacked = self.to_score(), self.attacked()
        rows = [(attacked[0], [row for one in attacked[1] for row in one.rows()])]
        left = sum(len(score.missing(self.store, judge, pages)) for judge, pages in [*work, *rows])
        client = self.client_for(attacked[0]) if left else None
        complete_many = client.for_("score").complete_many if client else _nothing_to_ask
        return score.run(
            self.store,
            self.p.score,
            work=work,
            complete_many=complete_many,
            progress=self.progress,
            ends=self.models.ends_of(attacked[0].model, client) if client else None,
            attacked=attacked,
        )

    def client_for(self, judge: Judge) -> Client:
        """The client of the model that a judge was tuned with: judge.model, or one of tune.models."""
        choice = next((m for m in self.p.tune.models if m.model == judge.model), None)
        return self.models.client_of(choice) if choice else self.models.judge()

    def attacked(self) -> tuple[Judge, list[score.Planted]]:
        """Labelled pages of train and val with an instruction planted in each."""
        tuned = self.judge("tuned")
        pages = [{"page_id": p.page_id, "text": p.text} for p in self.labelled("train", "val")]
        by_tokens = tuned.page_tokens and self.p.score.injections
        ends = self.models.ends_of(tuned.model, self.client_for(tuned)) if by_tokens else None
        return tuned, score.planted(tuned, pages, self.p.score.injections, ends=ends)

    def _run_distill(self, name: str) -> distill.Report:
        tuned, taught = self.judge("tuned"), self.labelled("train", "val")
        return distill.run(
            self.store,
            self.p.distill,
            pages=[p for p in self.pages() if p["split"] != "test"],
            judgments=self._judged(tuned),
            truth={p.page_id: p.truth for p in taught},
            criteria={p.page_id: dict(p.criteria) for p in taught},
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
            running=distill.running(self.p.distill),
            also=self.also(),
            name=name,
            pages=self.store.read("pages", self.done("sample")).drop_columns(["text"]).to_pylist(),
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
            name=name,
            progress=self.progress,
            consensus=self.p.label.consensus,
            worthwhile_gain=self.p.label.worthwhile_gain,
        )


def _as_labelled(page: Mapping[str, Any], truth: float, keep: bool, **more: Any) -> Labelled:
    """A page as tuning sees it; `more` are what was said of it and its criteria."""
    where = {"page_id": page["page_id"], "text": page["text"], "split": page["split"], "group": page["group_id"]}
    return Labelled(**where, truth=truth, keep=keep, **{"said": (), **more})


def _mean_criteria(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    said: dict[str, list[float]] = {}
    for row in rows:
        for name, level in json.loads(row["criteria"] or "{}").items():
            said.setdefault(name, []).append(level)
    return {name: sum(levels) / len(levels) for name, levels in sorted(said.items())}


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
    again = between(opened, first, "report") if first else ()
    with work.models, work.store.lock():
        for stage in between(opened, "sample", until):
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
    again = between(opened, first, "report") if first else ()
    waiting = ""
    for stage in between(opened, "sample", until):
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
    for stage in stages_of(opened):
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
        calls = _tuning_calls(p.tune, forms, sizes["train"], sizes["val"])
    elif stage == "score":
        if "tune" in work.records:
            calls = sum(
                len(score.missing(work.store, judge, pages)) * len(judge.orders) for judge, pages in work.to_score()
            )
            calls += 2 * len(work.judge("tuned").orders) * min(p.score.injections, sizes["train"] + sizes["val"])
        else:
            calls = (
                2 * (sizes["scored"] + 2 * min(p.score.injections, sizes["train"] + sizes["val"])) + sizes["labelled"]
            )
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


def _tuning_calls(settings: tune.Settings, forms: Sequence[Form], train: int, val: int) -> int:
    """Calls that tuning makes at most: screening, search with its anchors and grades, and the comparison on val."""
    models = max(len(settings.models), 1)
    ways = len(settings.layouts) * len(settings.examples) * (2 if settings.prior else 1)
    orders = [len(judges.FORMS[form].orders) for form in forms]
    most = max(orders, default=1)
    metric = settings.metric_calls(val)
    searches = metric // (2 * settings.minibatch) + models
    screened = models * min(settings.screen_pages or train, train) * ways * sum(orders)
    compared = models * settings.starts * (settings.finalists + 1) * (train + val) + models * (models - 1) * val
    graded = metric if settings.graders.get("rubric") else 0
    return screened + most * (metric + searches * settings.anchors + compared) + models * val + graded


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
            waiting = f"; {r['waiting']}" if r.get("waiting") else ""
            return f"{r['drawn']:,} of {r['seen']:,} pages ({splits}); {r['groups']:,} groups, {r['near_duplicate_pairs']:,} near-duplicate pairs{skipped}{waiting}"
        case "label":
            return f"{r['labels']:,} labels by {len(r['raters'])} raters on {r['labelled_pages']:,} pages"
        case "tune":
            val, model = r["val"], f"{r['models']['chosen']}, " if r["models"] else ""
            stopped = f"; {r['stopped']}" if r["stopped"] else ""
            return f"{model}{r['form']} form, {r['chosen']}; {r['metric']} on val {_two(val['untuned'])} untuned, {_two(val['tuned'])} tuned; {r['accepted']} of {r['proposals']} proposals accepted{stopped}"
        case "score":
            bad = sum(n for statuses in r["judges"].values() for status, n in statuses.items() if status != "ok")
            return f"{sum(sum(s.values()) for s in r['judges'].values()):,} judgments, {bad:,} without a level"
        case "distill":
            return f"classifier {r['classifier_id'][:8]} on {r['trained_on']:,} pages, {'+'.join(r['features'])}; cross-validated AUC {_two(r['cv_auc'])}"
        case "filter":
            promised = {True: f"; {r['promise']['aim']} promised", False: f"; {r['promise']['aim']} NOT promised"}
            return f"kept {r['kept']:,} of {r['pages']:,} pages ({r['kept'] / max(r['pages'], 1):.0%}){promised.get(r['promise']['promised'], '')}"
        case _:
            return str(r["html"])


def _two(estimate: Mapping[str, Any]) -> str:
    return "-" if estimate["value"] is None else f"{estimate['value']:.2f}".removeprefix("0")


def next_step(opened: Opened, missing: label.Report) -> str:
    """What to do when labels are missing: which command, how many."""
    command = f"curate label {opened.file}{f' --route {opened.route}' if opened.route else ''}"
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
