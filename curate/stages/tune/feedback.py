"""Feedback in words: what people said of a page, what the judge said, which rule applies, where they part."""

import numpy as np

from curate.judge import Judge
from curate.schema import Judgment
from curate.stages.tune.labelled import Labelled
from curate.stages.tune.objective import Mark

QUOTED_CHARS = 300


def words_for(judge: Judge, page: Labelled, said: Judgment, mark: Mark | None) -> str:
    """The feedback on one judgment. `mark` is None where nobody labelled the page."""
    if mark is None:
        return heard(judge, said)
    lines = [_verdict(judge, page, said, mark), f"People: {people(judge, page)}.", heard(judge, said)]
    lines += [f"By the rubric, {_name(judge, page.level)} means: {judge.levels[page.level]}"]
    lines += [*_criteria(judge, page, said), *_beside(judge, mark)]
    return " ".join(line for line in lines if line)


def people(judge: Judge, page: Labelled) -> str:
    """Each rater's level and note."""
    return "; ".join(
        f"{rater} gave {_given(judge, level)}" + (f" ({note})" if note else "") for rater, level, note in page.said
    )


def heard(judge: Judge, said: Judgment) -> str:
    """What the judge answered; the raw reply where it could not be read."""
    if said.status != "ok":
        quoted = f" It replied: {said.raw[:QUOTED_CHARS]!r}." if said.raw else ""
        return f"The judge gave no usable answer ({said.status}: {said.why[:QUOTED_CHARS]}).{quoted}"
    level = "" if said.level is None else f"{_name(judge, said.level)}, "
    reason = f" Its reason: {said.reason[:QUOTED_CHARS]}" if said.reason else ""
    return f"The judge said {level}score {said.score:.2f}.{reason}"


def _verdict(judge: Judge, page: Labelled, said: Judgment, mark: Mark) -> str:
    if said.status != "ok":
        return ""
    if mark.wrong:
        side = "too low" if page.truth > np.mean([w.truth for w in mark.wrong]) else "too high"
        return f"Ranked {side} (rightly against {mark.score:.0%})."
    if judge.scale == "choice":
        return "Right." if said.level == page.level else "Wrong."
    if said.expected is None or abs(said.expected - page.truth) < 0.5 or mark.score >= 1:
        return "Right."
    return f"Too {'low' if said.expected < page.truth else 'high'} by {abs(said.expected - page.truth):.1f} levels."


def _criteria(judge: Judge, page: Labelled, said: Judgment) -> list[str]:
    """The criteria on which judge and people part by half a level or more."""
    parts = []
    for name, mean in page.criteria.items():
        theirs = said.criteria.get(name)
        if theirs is None or abs(theirs - mean) < 0.5:
            continue
        criterion = judge.criteria.get(name)
        words = criterion.levels.get(round(mean), "") if criterion else ""
        parts.append(f"{name}: people {mean:g}{f' ({words})' if words else ''}, the judge {theirs}")
    return [f"They part on {'; '.join(parts)}."] if parts else []


def _beside(judge: Judge, mark: Mark) -> list[str]:
    """A page that this one is ranked wrongly against."""
    if not mark.wrong:
        return []
    other = mark.wrong[0]
    said = "; ".join(f"{_given(judge, level)}" + (f" ({note})" if note else "") for _, level, note in other.said)
    return [f"For example it stands wrongly beside a page that people gave {said}."]


def _name(judge: Judge, level: int) -> str:
    return judge.names.get(level, str(level))


def _given(judge: Judge, level: float) -> str:
    """A level as it was given: a judge as rater may say 3.4."""
    return _name(judge, int(level)) if float(level).is_integer() else f"{level:.2g}"
