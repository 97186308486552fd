"""tune: find the answer form and the instruction with which the model agrees best with people (dspy.GEPA)."""

import difflib
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from curate import judge as judges
from curate import metrics
from curate.errors import BadInput, CurateError
from curate.intervals import Estimate, bootstrap, paired_difference
from curate.judge import Form, Judge, Layout
from curate.llm import Failure, Reply, Request
from curate.progress import Progress, Task
from curate.rubric import Rubric
from curate.sampling import unit_hash
from curate.schema import Judgment, fingerprint
from curate.store import Store, write_json, write_text

Complete = Callable[[Request], Reply | Failure]
WEIGHTED_FORMS: tuple[Form, ...] = ("level", "kind", "does")
"""Forms with several answers, whose weights can change the order of pages."""
ANSWER_CS = (0.01, 0.03, 0.1, 0.3, 1.0)
LEAST_A_SIDE = 8
"""Answered train pages worth keeping, and not, without which answers are not weighed."""
PHRASE_WORDS = 12
MOST_PHRASES = 6


class Settings(BaseModel):
    """Settings of `tune`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    forms: list[Form] = Field(default=["level", "yesno", "ab", "kind", "does"], min_length=1)
    """Answer forms to try on the train pages; the best one is tuned."""
    layout: Layout = "page_first"
    """Where the page stands for the tuned judge: before the question, or after the rubric."""
    screen_pages: int | None = Field(None, gt=0)
    """Train pages on which the forms are compared; null: all."""
    max_metric_calls: int = Field(300, gt=0)
    """Budget of the GEPA search in judged pages."""
    minibatch: int = Field(6, gt=0)
    """Train pages on which each proposal is tried first."""
    anchors: int = Field(12, ge=2)
    """Train pages that every page is ranked against, half of them worth keeping."""
    finalists: int = Field(2, ge=1)
    """Best candidates of the search that are compared on val with the form alone and the untuned judge."""
    fit_answers: bool = True
    """Also try the finalists with a weight for each answer, fitted on train (forms `level`, `kind` and `does`, with logprobs)."""
    reflection: Literal["notes", "model"] = "notes"
    """Who proposes instructions: `model` (judge.reflection_model), or `notes`: built from what raters wrote of
    misjudged pages, and from the rubric's words for their levels."""
    seed: int = 0
    """Random seed of the search."""


@dataclass(frozen=True)
class Labelled:
    """A page of train or val with what people said of it."""

    page_id: str
    text: str
    split: str
    group: str
    truth: float
    """Mean level over raters."""
    keep: bool
    """Whether people hold it worth keeping."""
    said: tuple[tuple[str, int, str], ...]
    """Rater, level and note of each label."""


@dataclass(frozen=True)
class Report:
    """What was tried, what was chosen and why."""

    untuned_id: str
    tuned_id: str
    form: str
    chosen: str
    forms: list[dict[str, Any]]
    candidates: list[dict[str, Any]]
    choice: list[dict[str, Any]]
    val: dict[str, dict[str, Any]]
    metric_calls: int
    proposals: int
    accepted: int
    reflection_calls: int
    reflection_failures: int
    unreadable: int
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For the stage's record."""
        return asdict(self)


def run(
    store: Store,
    settings: Settings,
    *,
    rubric: Rubric,
    pages: Sequence[Labelled],
    make: Callable[[Form, Layout], Judge],
    complete: Complete,
    reflect: Complete | None,
    threads: int,
    name: str,
    progress: Progress,
) -> Report:
    """Screen the forms, search the instruction, choose on val, fit the cuts, and freeze both judges in the workspace.

    `pages` are the labelled pages of train and val only: the sealed test is not passed in. `make` gives a judge with
    the rubric's own words. Raises CurateError when every reflection call failed, or no form gives readable answers.
    """
    train, val = [p for p in pages if p.split == "train"], [p for p in pages if p.split == "val"]
    _check_labels(train, val)
    bench = _Bench(complete, threads, progress)
    untuned = make("level", "rubric_first")
    forms = [make(form, settings.layout) for form in judges.usable_forms(rubric, settings.forms)]
    if not forms:
        raise BadInput(
            f"tune.forms: none of {settings.forms} can be asked: {rubric.name} has no questions.kinds or questions.does with levels on both sides of keep"
        )
    screened = _screen(settings, bench, forms, train)
    seed = max(zip(forms, screened, strict=True), key=lambda pair: _rank(pair[1]))[0]
    search = _Search(settings, seed, train, val, bench, reflect, progress)
    found = search.run()
    finalists = _finalists(settings, bench, untuned, seed, found, train, progress)
    with progress.task("tune: comparing on val", len(finalists) * len(val)) as task:
        table = [_on_val(bench, judge, val, label, task) for judge, label in finalists]
    best, label = _choose(finalists, table)
    tuned = _with_cuts(bench, best, [*train, *val], progress)
    _freeze(store, untuned, tuned, rubric, label)
    _write_candidates(store, name, forms, screened, search, table)
    return Report(
        untuned_id=untuned.id,
        tuned_id=tuned.id,
        form=tuned.form,
        chosen=label,
        forms=screened,
        candidates=search.lineage,
        choice=table,
        val=_val_rows(bench, untuned, best, val),
        metric_calls=search.metric_calls,
        proposals=search.proposals,
        accepted=max(len(found), 0),
        reflection_calls=search.reflection_calls,
        reflection_failures=search.reflection_failures,
        unreadable=bench.unreadable,
        notes=search.remarks(label),
    )


def _check_labels(train: Sequence[Labelled], val: Sequence[Labelled]) -> None:
    """Before any call: with one side alone, nothing can be ranked."""
    for split, pages in (("train", train), ("val", val)):
        keep = sum(page.keep for page in pages)
        if not keep or keep == len(pages):
            raise BadInput(
                f"tune: {split} has {keep} labelled pages to keep and {len(pages) - keep} to drop, and both are needed; "
                f"label more pages"
            )


class _Bench:
    """Asks judges about labelled pages; what was asked once is remembered."""

    def __init__(self, complete: Complete, threads: int, progress: Progress) -> None:
        self.complete, self.threads, self.progress = complete, threads, progress
        self.known: dict[tuple[str, str], Judgment] = {}
        self.unreadable = 0

    def ask(self, judge: Judge, page: Labelled) -> Judgment:
        key = (judge.id, page.page_id)
        if key not in self.known:
            said = judges.read(judge, page.page_id, [self.complete(r) for r in judges.requests(judge, page.text)])
            self.unreadable += said.status != "ok"
            self.known[key] = said
        return self.known[key]

    def ask_all(self, pairs: Sequence[tuple[Judge, Labelled]], task: Task | None = None) -> list[Judgment]:
        """In the given order: pages first, so that a server that caches prefixes reads each page once."""
        with ThreadPoolExecutor(self.threads) as pool:
            found = []
            for said in pool.map(lambda pair: self.ask(*pair), pairs):
                found.append(said)
                if task:
                    task.advance()
            return found

    def scores(self, judge: Judge, pages: Sequence[Labelled], task: Task | None = None) -> np.ndarray:
        """Scores of the pages, (n,); NaN where there is no readable answer."""
        said = self.ask_all([(judge, page) for page in pages], task)
        return np.array([np.nan if s.score is None else s.score for s in said])


def _auc(pages: Sequence[Labelled], scores: np.ndarray) -> Estimate:
    """AUC of keep against drop with its interval; a page without a score ranks last, so silence never helps."""
    truth = np.array([page.keep for page in pages])
    groups = np.array([page.group for page in pages])
    return bootstrap(metrics.auc, [truth, metrics.ranked_last(scores)], groups=groups)


def _screen(
    settings: Settings, bench: _Bench, forms: Sequence[Judge], train: Sequence[Labelled]
) -> list[dict[str, Any]]:
    pages = sorted(train, key=lambda p: unit_hash("screen", p.page_id))[: settings.screen_pages]
    with bench.progress.task("tune: trying answer forms", len(pages) * len(forms)) as task:
        bench.ask_all([(judge, page) for page in pages for judge in forms], task)
    rows = []
    for judge in forms:
        scores = bench.scores(judge, pages)
        readable = float(np.mean(~np.isnan(scores)))
        rows.append(
            {"form": judge.form, "auc": _auc(pages, scores).as_dict(), "readable": readable, "pages": len(pages)}
        )
    if not any(row["readable"] for row in rows):
        why = next((s.why for s in bench.known.values() if s.status != "ok"), "")
        raise CurateError(
            f"tune: no readable answer in any form from {forms[0].model} (first: {why[:120]}); try another model or tune.forms=[json]"
        )
    return rows


class _Search:
    """One dspy.GEPA search over the instruction of one judge."""

    def __init__(
        self,
        settings: Settings,
        seed: Judge,
        train: Sequence[Labelled],
        val: Sequence[Labelled],
        bench: _Bench,
        reflect: Complete | None,
        progress: Progress,
    ) -> None:
        self.settings, self.seed, self.train, self.val = settings, seed, train, val
        self.bench, self.reflect, self.progress = bench, reflect, progress
        self.by_text = {page.text: page for page in [*train, *val]}
        self.by_id = {page.page_id: page for page in [*train, *val]}
        self.anchors = _anchors(train, settings.anchors)
        self.fatal: CurateError | None = None
        self.first_failure = self.first_useless = ""
        self.useless = 0
        self.metric_calls = self.proposals = self.reflection_calls = self.reflection_failures = 0
        self.tried: set[str] = {seed.instruction}
        self.rank: dict[tuple[str, str], float] = {}
        self.lineage: list[dict[str, Any]] = []
        self.task: Task | None = None

    def run(self) -> list[tuple[Judge, str]]:
        """The candidates that GEPA accepted, best on val first. Raises what stopped the search."""
        with self.progress.task("tune: GEPA", self.settings.max_metric_calls) as self.task, _quiet_dspy():
            best = self._compile()
        if self.fatal:
            raise self.fatal
        if (
            self.settings.reflection == "model"
            and self.reflection_calls
            and self.reflection_failures == self.reflection_calls
        ):
            raise CurateError(
                f"tune: the reflection model failed on all {self.reflection_calls} calls (first: {self.first_failure[:160]}), so no "
                f"instruction was ever proposed; check judge.reflection_model, or set tune.reflection=notes"
            )
        if self.settings.reflection == "model" and self.useless and not self.proposals:
            raise CurateError(
                f"tune: none of {self.useless} replies of the reflection model held an instruction (first: {self.first_useless}); "
                f"use a stronger judge.reflection_model, or set tune.reflection=notes"
            )
        return best

    def _compile(self) -> list[tuple[Judge, str]]:
        import dspy

        student = judges.program(self.seed)
        lm = judges.language_model(self.seed.model, self._complete, judges.settings(self.seed))
        gepa = dspy.GEPA(
            metric=self.metric,
            max_metric_calls=self.settings.max_metric_calls,
            reflection_minibatch_size=min(self.settings.minibatch, len(self.train)),
            num_threads=self.bench.threads,
            track_stats=True,
            use_merge=False,
            add_format_failure_as_feedback=True,
            skip_perfect_score=True,
            warn_on_score_mismatch=False,
            seed=self.settings.seed,
            gepa_kwargs={"stop_callbacks": [self._stop]},
            **self._reflection(),
        )
        with dspy.context(lm=lm, adapter=judges.adapter(self.seed), disable_history=True):
            tuned = gepa.compile(student, trainset=_examples(self.train), valset=_examples(self.val))
        return self._accepted(tuned.detailed_results)

    def _stop(self, state: Any) -> bool:
        return self.fatal is not None or self.metric_calls >= self.settings.max_metric_calls

    def _reflection(self) -> dict[str, Any]:
        if self.settings.reflection == "notes":
            return {"instruction_proposer": self.propose_from_notes}
        lm = judges.language_model("reflection", self._reflect, {"temperature": 1.0, "max_tokens": 4000}, carry=False)
        return {"reflection_lm": lm, "instruction_proposer": self.propose_by_model}

    def _complete(self, request: Request) -> Reply | Failure:
        try:
            return self.bench.complete(request)
        except (
            CurateError
        ) as error:  # GEPA counts exceptions as bad scores: what must stop the run is kept and raised after
            self.fatal = self.fatal or error
            return Failure(kind="failed", why=str(error))

    def _reflect(self, request: Request) -> Reply | Failure:
        self.reflection_calls += 1
        try:
            reply = self.reflect(request) if self.reflect else Failure(kind="failed", why="no reflection model is set")
        except CurateError as error:
            reply = Failure(kind="failed", why=str(error))
            self.fatal = error if type(error) is not CurateError else self.fatal
        if isinstance(reply, Failure):
            self.reflection_failures += 1
            self.first_failure = self.first_failure or reply.why
        return reply

    def metric(self, gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
        """Share of the anchors of another level that the page is ranked rightly against, with the raters' words."""
        import dspy

        page = self.by_id[gold.page_id]
        said: Judgment = pred.judgment
        asked: Judge = pred.judge
        if (asked.id, page.page_id) not in self.bench.known:
            self.bench.known[asked.id, page.page_id] = said
            self.bench.unreadable += said.status != "ok"
        score, wrong = self._ranked(asked, page, said)
        self.rank[asked.instruction, page.page_id] = score
        if pred_name is None:
            self.metric_calls += 1
            if self.task:
                self.task.advance()
        return dspy.Prediction(score=score, feedback=_feedback(page, said, score, wrong))

    def _ranked(self, asked: Judge, page: Labelled, said: Judgment) -> tuple[float, list[Labelled]]:
        others = [a for a in self.anchors if a.page_id != page.page_id and abs(a.truth - page.truth) >= 1]
        if said.score is None or not others:
            return (0.0 if said.score is None else 1.0), others
        marks, wrong = [], []
        for other in others:
            theirs = self._anchor(asked, other)
            right = 0.5 if theirs == said.score else float((said.score > theirs) == (page.truth > other.truth))
            marks.append(right)
            wrong += [other] if right < 0.5 else []
        return float(np.mean(marks)), wrong

    def _anchor(self, asked: Judge, page: Labelled) -> float:
        key = (asked.id, page.page_id)
        if key not in self.bench.known:
            replies = [self._complete(r) for r in judges.requests(asked, page.text)]
            self.bench.known[key] = judges.read(asked, page.page_id, replies)
        score = self.bench.known[key].score
        return float("-inf") if score is None else score

    def propose_by_model(
        self,
        candidate: dict[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: list[str],
    ) -> dict[str, str]:
        """GEPA's proposal function with `reflection: model`: DSPy's own proposer, shown each page as the judge was shown
        it. A reply that holds no instruction of the form leaves the candidate as it is, and is counted."""
        from dspy.teleprompt.gepa import InstructionProposer

        propose = InstructionProposer(additional_instructions=_form_note(self.seed))
        shown = {name: [self._as_shown(record) for record in records] for name, records in reflective_dataset.items()}
        proposed = dict(candidate)
        for name in components_to_update:
            try:
                said = propose(candidate, shown, [name])[name]
            except Exception as error:  # the proposer lets through whatever its model, parser or validator raises
                self._unproposed(" ".join(str(error).split())[:200])
                continue
            if said.strip() and judges.well_formed(self.seed.form, said):
                self.proposals += 1
                proposed[name] = said
            else:
                self._unproposed(f"it is no instruction of the {self.seed.form} form: {said[:120]!r}")
        return proposed

    def _unproposed(self, why: str) -> None:
        self.useless += 1
        self.first_useless = self.first_useless or why

    def _as_shown(self, record: Mapping[str, Any]) -> dict[str, Any]:
        page = str(record["Inputs"].get("page", ""))
        known = self.by_text.get(page)
        fenced = judges.fenced(page, key=self.seed.fence, chars=self.seed.page_chars)
        answer = next((j.raw for (_, name), j in self.bench.known.items() if known and name == known.page_id), "")
        outputs = record.get("Generated Outputs")
        answer = str(outputs.get("answer", answer)) if isinstance(outputs, Mapping) else str(outputs or answer)
        return {"Inputs": {"page": fenced}, "Generated Outputs": {"answer": answer}, "Feedback": record["Feedback"]}

    def propose_from_notes(
        self,
        candidate: dict[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: list[str],
    ) -> dict[str, str]:
        """GEPA's proposal function with `reflection: notes`: what the page that was ranked worst suggests."""
        return {
            name: self._reworded(candidate[name], reflective_dataset.get(name, ())) for name in components_to_update
        }

    def _reworded(self, instruction: str, records: Sequence[Mapping[str, Any]]) -> str:
        self.proposals += 1
        seen = [
            page for record in records if (page := self.by_text.get(str(record["Inputs"].get("page", "")))) is not None
        ]
        known = [page for page in self.train if (instruction, page.page_id) in self.rank]
        order = sorted(
            {p.page_id: p for p in [*seen, *known]}.values(), key=lambda p: self.rank.get((instruction, p.page_id), 1.0)
        )
        asked = self.seed.model_copy(update={"instruction": instruction})
        for page in order:
            for worded in rewordings(asked, page, self.bench.known.get((asked.id, page.page_id))):
                if worded not in self.tried and judges.well_formed(self.seed.form, worded):
                    self.tried.add(worded)
                    return worded
        return instruction

    def _accepted(self, results: Any) -> list[tuple[Judge, str]]:
        texts = [c.ask.signature.instructions for c in results.candidates]
        scores = [float(s) for s in results.val_aggregate_scores]
        for i, (text, score) in enumerate(zip(texts, scores, strict=True)):
            parents = [p for p in results.parents[i] if p is not None]
            parent = fingerprint(texts[parents[0]]) if parents else ""
            self.lineage.append(
                {"candidate_id": fingerprint(text), "parent_id": parent, "instruction": text, "val_score": score}
            )
        order = sorted(range(1, len(texts)), key=lambda i: -scores[i])
        return [(self.seed.model_copy(update={"instruction": texts[i]}), f"gepa {i}") for i in order]

    def remarks(self, label: str) -> list[str]:
        """What a reader of the result must know."""
        found = []
        if not self.proposals:
            found.append(
                f"GEPA's budget of {self.settings.max_metric_calls} metric calls ended before any proposal; raise tune.max_metric_calls"
            )
        elif len(self.lineage) <= 1:
            found.append(f"none of {self.proposals} proposals was better than the seed instruction on its minibatch")
        if label == "untuned":
            found.append("tuning did not help on val: the untuned rubric stays")
        if self.useless:
            found.append(
                f"{self.useless} replies of the reflection model held no instruction (first: {self.first_useless[:120]})"
            )
        if self.reflection_failures:
            found.append(
                f"{self.reflection_failures} of {self.reflection_calls} reflection calls failed (first: {self.first_failure[:120]})"
            )
        return found


def rewordings(judge: Judge, page: Labelled, said: Judgment | None) -> Iterator[str]:
    """Instructions that a misjudged page suggests: with the raters' words on it, with the rubric's words for its level
    (labels may come without notes), and without the answer that misled."""
    for phrase in [*_phrases(page), *_clauses(judge.levels[round(page.truth)])]:
        yield reword(judge.form, judge.instruction, phrase, high=page.keep, level=round(page.truth))
    if judge.form in judges.WORD_QUESTIONS and said is not None:
        words = judges.kinds(judge.instruction)
        if (words.get(said.reason, 0) >= judge.keep) != page.keep:
            yield "\n".join(f"{word}: {level}" for word, level in words.items() if word != said.reason)


def reword(form: Form, instruction: str, phrase: str, *, high: bool, level: int) -> str:
    """The instruction with one phrase of a rater worked in, on the side where people put the page."""
    match form:
        case "ab":
            good, bad = judges.options(instruction)
            good, bad = (_with_phrase(good, phrase), bad) if high else (good, _with_phrase(bad, phrase))
            return f"high: {good}\nlow: {bad}"
        case "kind" | "does":
            words = judges.kinds(instruction)
            word = _new_word(form, phrase, words)
            return "\n".join(f"{w}: {n}" for w, n in ({**words, word: level} if word else words).items())
        case "yesno":
            return f"{instruction} ({'Yes' if high else 'No'} for: {phrase}.)"
        case _:
            return f"{instruction}\nA page like this is a {level}: {phrase}."


def _new_word(form: Form, phrase: str, known: Mapping[str, int]) -> str:
    """The longest word of a phrase that is not asked about yet; for `does` a verb in the third person, without its s.
    What follows a "no" or "without" is what the page is not."""
    pattern = r"\b([a-z]{3,12}[^\Wsuio])s\b" if form == "does" else r"\b([a-z]{4,14})\b"
    said = re.split(r"\b(?:no|not|nothing|never|without|nor)\b", phrase.lower(), maxsplit=1)[0]
    return max((w for w in re.findall(pattern, said) if w not in known), key=len, default="")


def _with_phrase(description: str, phrase: str) -> str:
    first, *added = description.split(", or ")
    return ", or ".join([first, *added[-(MOST_PHRASES - 1) :], phrase])


def _phrases(page: Labelled) -> list[str]:
    """The raters' notes on a page, each cut to its first clause."""
    return [clauses[0] for _, _, note in page.said if (clauses := _clauses(note, r"[.;:!?(\n]"))]


def _clauses(text: str, ends: str = r"[.;:!?(\n,]|\bor\b") -> list[str]:
    """The clauses of a text, in lower case, each cut to a few words."""
    clauses = [" ".join(clause.split()[:PHRASE_WORDS]).rstrip(",").lower() for clause in re.split(ends, text)]
    return [clause for clause in clauses if clause]


def _feedback(page: Labelled, said: Judgment, score: float, wrong: Sequence[Labelled]) -> str:
    people = "; ".join(f"{rater} gave {level}" + (f" ({note})" if note else "") for rater, level, note in page.said)
    if said.status != "ok":
        return f"The judge gave no usable answer ({said.status}: {said.why}). People: {people}."
    heard = f"The judge's score is {said.score:.2f}" + (f" ({said.reason})" if said.reason else "")
    if not wrong:
        return f"Right: ranked rightly against all pages of other levels. People: {people}. {heard}."
    side = "too low" if page.truth > np.mean([w.truth for w in wrong]) else "too high"
    beside = wrong[0]
    other = "; ".join(f"{level}" + (f" ({note})" if note else "") for _, level, note in beside.said)
    return f"Ranked {side} (rightly against {score:.0%}). People: {people}. {heard}. For example it stands wrongly beside a page that people gave {other}."


def _form_note(seed: Judge) -> str:
    fixed = {
        "ab": "The instruction is exactly two lines, `high: ...` and `low: ...`, each a short description of a kind of text. ",
        "kind": "The instruction is only lines `word: level`, one-word kinds of text and the level each stands for. ",
        "does": "The instruction is only lines `verb: level`, one-word verbs for what a text does and the level each stands for. ",
        "yesno": "The instruction is one short question about the text, whose yes means a text worth keeping. ",
    }.get(seed.form, "")
    return fixed + "Give general rules in few words. Never quote or name the pages of the examples."


def _anchors(train: Sequence[Labelled], count: int) -> list[Labelled]:
    order = sorted(train, key=lambda p: unit_hash("anchor", p.page_id))
    high, low = [p for p in order if p.keep], [p for p in order if not p.keep]
    return [*high[: count // 2], *low[: count - count // 2]]


def _examples(pages: Sequence[Labelled]) -> list[Any]:
    import dspy

    return [dspy.Example(page=p.text, page_id=p.page_id).with_inputs("page", "page_id") for p in pages]


def _finalists(
    settings: Settings,
    bench: _Bench,
    untuned: Judge,
    seed: Judge,
    found: Sequence[tuple[Judge, str]],
    train: Sequence[Labelled],
    progress: Progress,
) -> list[tuple[Judge, str]]:
    """What is compared on val, the simplest first: untuned, the form alone, the best of the search, and all but the
    first again with weights for their answers."""
    plain = [(seed, "form alone"), *found[: settings.finalists]]
    if not settings.fit_answers or not seed.logprobs or seed.form not in WEIGHTED_FORMS:
        return [(untuned, "untuned"), *plain]
    weighed = []
    with progress.task("tune: weighing answers on train", len(plain) * len(train)) as task:
        for judge, label in plain:
            fitted = _with_answer_weights(bench, judge, train, task)
            weighed += [(fitted, f"{label}, answers weighed")] if fitted else []
    return [(untuned, "untuned"), *plain, *weighed]


def _with_answer_weights(bench: _Bench, judge: Judge, train: Sequence[Labelled], task: Task) -> Judge | None:
    """The judge with a logistic regression from its answers' log-probabilities to keep or drop, on the train pages; its
    strength is chosen by grouped cross-validation. None when too few pages of either side were answered."""
    said = bench.ask_all([(judge, page) for page in train], task)
    answered = [(s, page) for s, page in zip(said, train, strict=True) if s.status == "ok"]
    keep = np.array([page.keep for _, page in answered], dtype=bool)
    if min(keep.sum(), (~keep).sum()) < LEAST_A_SIDE:
        return None
    x = np.array([judges.answer_features(s.probabilities) for s, _ in answered])
    weights = _logistic_weights(x, keep, [page.group for _, page in answered])
    return judge.model_copy(update={"answer_weights": tuple(round(float(w), 6) for w in weights)})


def _logistic_weights(x: np.ndarray, keep: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Coefficients (k,) for log-probabilities x (n, k)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_score

    folds = list(StratifiedGroupKFold(4, shuffle=True, random_state=0).split(x, keep, groups))
    folds = [(a, b) for a, b in folds if len(set(keep[a])) == 2 and len(set(keep[b])) == 2]
    models = [LogisticRegression(C=c, max_iter=5000) for c in ANSWER_CS]
    if len(folds) < 2:
        return np.asarray(models[0].fit(x, keep).coef_[0])
    losses = [-np.mean(cross_val_score(model, x, keep, cv=folds, scoring="neg_log_loss")) for model in models]
    return np.asarray(models[int(np.argmin(losses))].fit(x, keep).coef_[0])


def _on_val(bench: _Bench, judge: Judge, val: Sequence[Labelled], label: str, task: Task) -> dict[str, Any]:
    scores = bench.scores(judge, val, task)
    readable = float(np.mean(~np.isnan(scores)))
    return {"label": label, "judge": judge.id, "auc": _auc(val, scores).as_dict(), "readable": readable}


def _choose(candidates: Sequence[tuple[Judge, str]], table: Sequence[Mapping[str, Any]]) -> tuple[Judge, str]:
    """The best AUC on val; the earlier, simpler one where they tie. Untuned stands first: it must be beaten."""
    return candidates[max(range(len(table)), key=lambda i: (_rank(table[i]), -i))]


def _rank(row: Mapping[str, Any]) -> tuple[bool, float]:
    """Orders by AUC; without one readable answer last, since silence has an AUC of .5."""
    return row["readable"] > 0, row["auc"]["value"] or 0.0


def _val_rows(bench: _Bench, untuned: Judge, best: Judge, val: Sequence[Labelled]) -> dict[str, dict[str, Any]]:
    before, after = (metrics.ranked_last(bench.scores(j, val)) for j in (untuned, best))
    truth, groups = np.array([p.keep for p in val]), np.array([p.group for p in val])
    gain = paired_difference(metrics.auc, truth, before, after, groups=groups)
    return {
        "untuned_auc": _auc(val, before).as_dict(),
        "tuned_auc": _auc(val, after).as_dict(),
        "gain": gain.as_dict(),
    }


def _with_cuts(bench: _Bench, judge: Judge, pages: Sequence[Labelled], progress: Progress) -> Judge:
    with progress.task("tune: fitting levels", len(pages)) as task:
        scores = bench.scores(judge, pages, task)
    scored = [(s, p.truth) for s, p in zip(scores, pages, strict=True) if not np.isnan(s)]
    cuts = judges.cuts_for([float(s) for s, _ in scored], [t for _, t in scored], judge.top)
    return judge.model_copy(update={"cuts": tuple(round(c, 6) for c in cuts)})


def _freeze(store: Store, untuned: Judge, tuned: Judge, rubric: Rubric, label: str) -> None:
    """Both judges under their ids, with the tuned instruction as a file to read and its difference to the rubric's words."""
    for judge, what in ((untuned, "untuned"), (tuned, label)):
        folder = store.root / "judges" / judge.id
        write_text(folder / "instruction.md", judge.instruction + "\n")
        before = judges.seed_instruction(rubric, judge.form)
        lines = difflib.unified_diff(
            before.splitlines(), judge.instruction.splitlines(), "rubric", what, lineterm="", n=50
        )
        write_text(folder / "instruction.diff", "\n".join(lines) + "\n")
        write_json(folder / "judge.json", json.loads(judge.model_dump_json()))


def _write_candidates(
    store: Store,
    name: str,
    forms: Sequence[Judge],
    screened: Sequence[Mapping[str, Any]],
    search: _Search,
    table: Sequence[Mapping[str, Any]],
) -> None:
    blank = {"tune_id": name, "parent_id": "", "note": ""}
    rows = [
        {
            **blank,
            "candidate_id": j.id,
            "phase": "form",
            "form": j.form,
            "instruction": j.instruction,
            "metric": "train auc",
            "value": row["auc"]["value"],
            "n": row["pages"],
        }
        for j, row in zip(forms, screened, strict=True)
    ]
    rows += [
        {
            **blank,
            "candidate_id": c["candidate_id"],
            "parent_id": c["parent_id"],
            "phase": "gepa",
            "form": search.seed.form,
            "instruction": c["instruction"],
            "metric": "val rank score",
            "value": c["val_score"],
            "n": len(search.val),
        }
        for c in search.lineage
    ]
    rows += [
        {
            **blank,
            "candidate_id": row["judge"],
            "phase": "choice",
            "form": "",
            "instruction": "",
            "metric": "val auc",
            "value": row["auc"]["value"],
            "n": len(search.val),
            "note": row["label"],
        }
        for row in table
    ]
    store.append("candidates", rows, scope=name, part="00000")


@contextmanager
def _quiet_dspy() -> Iterator[None]:
    """DSPy and GEPA draw bars and write logs of their own, and warn of an interface that the pinned release still has."""
    import dspy  # noqa: F401  importing it sets up its loggers

    loggers = [logging.getLogger(name) for name in ("dspy", "gepa")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), _no_bars():
        warnings.filterwarnings("ignore", module=r"dspy\..*|gepa\..*")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Both ask tqdm for a bar without a way to say no."""
    from tqdm import tqdm

    plain = tqdm.__init__

    def disabled(bar: Any, *args: Any, **kwargs: Any) -> None:
        plain(bar, *args, **{**kwargs, "disable": True})

    tqdm.__init__ = disabled
    try:
        yield
    finally:
        tqdm.__init__ = plain
