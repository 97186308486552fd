"""Graders of a judgment: people's labels, a model that grades by a rubric of its own, or both, weighed."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from curate import judge as judges
from curate.errors import BadInput, CurateError
from curate.judge import Judge
from curate.llm import Request
from curate.rubric import Rubric
from curate.schema import Judgment
from curate.stages.tune.feedback import words_for
from curate.stages.tune.gate import NOT_ASKED, Complete
from curate.stages.tune.labelled import Labelled
from curate.stages.tune.objective import Mark, Marker


@dataclass(frozen=True)
class Grade:
    """A judgment's score, 0..1, and words on it. `score` is None where no grader could say."""

    score: float | None
    words: str
    mark: Mark | None = None


class ByRubric:
    """Another model grades a judge's answer: it sees the page and the answer, and gives a level of a rubric of its own.

    Its level over its highest level is the score. What it said once is remembered.
    """

    def __init__(self, rubric: Rubric, complete: Complete, *, page_chars: int) -> None:
        if rubric.scale == "choice":
            raise BadInput(f"tune.grader_rubric: {rubric.name} has classes; a grader needs levels (scale: ordinal)")
        self.judge = judges.of_rubric(
            rubric, "json", model="grader", layout="rubric_first", page_chars=page_chars, logprobs=False
        )
        self.complete = complete
        self.failures = self.calls = 0
        self.first_failure = ""
        self._known: dict[tuple[str, str], tuple[float, str] | None] = {}
        self._lock = threading.Lock()

    def __call__(self, asked: Judge, page: Labelled, said: Judgment) -> tuple[float, str] | None:
        """Score and reason; None where the grader gave no readable grade."""
        key = (asked.id, page.page_id)
        if key not in self._known:
            self._known[key] = self._grade(asked, page, said)
        return self._known[key]

    def _grade(self, asked: Judge, page: Labelled, said: Judgment) -> tuple[float, str] | None:
        requests = [self._with_answer(request, asked, said) for request in judges.requests(self.judge, page.text)]
        grade = judges.read(self.judge, page.page_id, [self.complete(request) for request in requests])
        if grade.why.startswith(NOT_ASKED):
            return None
        with self._lock:
            self.calls += 1
            if grade.expected is None:
                self.failures += 1
                self.first_failure = self.first_failure or f"{grade.why} {grade.raw[:80]!r}"
        return None if grade.expected is None else (grade.expected / self.judge.top, grade.reason)

    def _with_answer(self, request: Request, asked: Judge, said: Judgment) -> Request:
        """The judge's answer before the page, fenced like it: its reason may hold the page's words."""
        answer = judges.fenced(answer_words(asked, said), key=self.judge.fence, chars=2000)
        first, last = request.messages[:-1], request.messages[-1]
        content = f"What a judge said of the page below:\n{answer}\n\nThe page:\n{last['content']}"
        return Request(messages=[*first, {**last, "content": content}], settings=request.settings)


class Panel:
    """All graders together. A grader that cannot say is absent, and the others' weights count alone."""

    def __init__(self, weights: Mapping[str, float], human: Marker, rubric: ByRubric | None) -> None:
        self.weights, self.human, self.rubric = dict(weights), human, rubric
        self.ungraded = 0

    def __call__(self, asked: Judge, page: Labelled, said: Judgment) -> Grade:
        """The grade of one judgment."""
        mark = self.human(asked, page, said) if page.labelled else None
        parts: list[tuple[float, float]] = []
        words = words_for(asked, page, said, mark)
        if mark is not None and self.weights.get("human", 0) > 0:
            parts.append((self.weights["human"], mark.score))
        if self.rubric is not None and self.weights.get("rubric", 0) > 0:
            given = self.rubric(asked, page, said)
            if given is not None:
                parts.append((self.weights["rubric"], given[0]))
                words += f" A grader gives the judge's answer {given[0]:.0%}: {given[1]}"
        if not parts:
            self.ungraded += 1
            return Grade(None, words, mark)
        total = sum(weight for weight, _ in parts)
        return Grade(sum(weight * score for weight, score in parts) / total, words, mark)

    def check(self) -> None:
        """Raises CurateError when the grading model never gave a grade: the search would follow labels alone, or
        nothing at all."""
        by = self.rubric
        if by is not None and by.calls and by.failures == by.calls:
            raise CurateError(
                f"tune: the grader gave no readable grade in {by.calls} calls (first: {by.first_failure[:160]}); "
                "check tune.grader_rubric and its model, or set tune.graders: {human: 1}"
            )


def answer_words(asked: Judge, said: Judgment) -> str:
    """A judgment as a grader reads it."""
    if said.status != "ok" or said.level is None:
        return f"no usable answer: {said.raw[:300] or said.why[:300]}"
    lines = [f"level: {asked.names.get(said.level, said.level)} ({asked.levels.get(said.level, '')})"]
    lines += [f"{name}: {level}" for name, level in said.criteria.items()]
    return "\n".join([*lines, *([f"reason: {said.reason}"] if said.reason else [])])
