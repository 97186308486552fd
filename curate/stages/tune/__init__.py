"""tune: find the answer form and the instruction with which the model agrees best with people (dspy.GEPA)."""

from collections.abc import Callable, Sequence
from pathlib import Path

from curate import judge as judges
from curate.progress import Progress
from curate.rubric import Rubric
from curate.stages.tune.explaining import text as explain
from curate.stages.tune.gate import Complete
from curate.stages.tune.labelled import Labelled
from curate.stages.tune.report import Report
from curate.stages.tune.rewording import rewordings
from curate.stages.tune.screen import Make
from curate.stages.tune.settings import ModelChoice, Settings
from curate.stages.tune.several import Model, pareto, run_models
from curate.stages.tune.tuning import Tuning, bench_of, grader_for
from curate.store import Store

__all__ = [
    "Labelled",
    "Model",
    "ModelChoice",
    "Report",
    "Settings",
    "explain",
    "pareto",
    "rewordings",
    "run",
    "run_models",
]


def run(
    store: Store,
    settings: Settings,
    *,
    rubric: Rubric,
    pages: Sequence[Labelled],
    make: Make,
    complete: Complete,
    reflect: Complete | None,
    threads: int,
    name: str,
    progress: Progress,
    spent: Callable[[], float] = lambda: 0.0,
    folder: Path | None = None,
    grader_rubric: Rubric | None = None,
    grade: Complete | None = None,
    ends: judges.Ends | None = None,
) -> Report:
    """Screen the forms, search the instruction, choose on val, fit the cuts, and freeze both judges in the workspace.

    `pages` are the labelled pages of train and val only: the sealed test is not passed in. `make` gives a judge with
    the rubric's own words. `spent` is what judge, reflection model and grader have cost so far, in US dollars; `folder`
    is where a killed search is gone on with; `grade` asks the model behind `graders.rubric`, by `grader_rubric`; `ends`
    is as in `judge.requests`.
    Raises BadInput for labels and graders that cannot work, CurateError when no form gives readable answers, or every
    call of the reflection model or the grader failed.
    """
    bench = bench_of(settings, complete, threads=threads, progress=progress, spent=spent, ends=ends)
    page_chars = make(judges.plain_form(rubric), "rubric_first").page_chars
    by_rubric = grader_for(settings, grader_rubric, grade, gate=bench.gate, page_chars=page_chars)
    tuning = Tuning(settings, rubric, pages, make, bench, reflect, by_rubric, progress, folder)
    return tuning.run(store, name, "00000").report
