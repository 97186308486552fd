"""What tuning leaves in the workspace: both judges, the tuned instruction as a rubric file, the lineage of candidates."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from curate import judge as judges
from curate.judge import Judge
from curate.rubric import Rubric
from curate.stages.tune.bench import Bench
from curate.stages.tune.choose import Contender, prompt_chars
from curate.stages.tune.family import family, units
from curate.stages.tune.labelled import Labelled
from curate.stages.tune.report import Outcome
from curate.stages.tune.screen import Screened
from curate.stages.tune.search import Found
from curate.store import Store, write_json, write_text


@dataclass(frozen=True)
class Lineage:
    """Where a tuned rubric comes from, for people who find the file."""

    judge: str
    parent: str
    labels: int
    agreement: str
    model: str
    cost: str

    def comments(self) -> list[str]:
        """YAML comments: `rubric.load` takes no other keys, and a rubric's hash must not hang on its history."""
        lines = {
            "tuned judge": self.judge,
            "parent rubric": self.parent,
            "labelled pages used": str(self.labels),
            "on val": self.agreement,
            "model": self.model,
            "cost": self.cost,
        }
        return [f"# {name}: {' '.join(value.split())}" for name, value in lines.items()]


def freeze(store: Store, judge: Judge, rubric: Rubric, *, what: str, lineage: Lineage) -> None:
    """A judge under its id, with its instruction as a file to read, as a rubric, and as a difference to the rubric."""
    folder = store.root / "judges" / judge.id
    write_text(folder / "instruction.md", judge.instruction + "\n")
    write_text(folder / "instruction.diff", "\n".join(difference(rubric, judge, what)) + "\n")
    write_text(folder / "rubric.md", rubric_file(rubric, judge, lineage))
    write_json(folder / "judge.json", json.loads(judge.model_dump_json()))


def difference(rubric: Rubric, judge: Judge, what: str) -> list[str]:
    """Unified diff from the rubric's words to the judge's, sentence by sentence where an instruction is prose."""
    before, after = (units(text) for text in (judges.seed_instruction(rubric, judge.form), judge.instruction))
    return list(difflib.unified_diff(before, after, "rubric", what, lineterm="", n=50))


def rubric_file(rubric: Rubric, judge: Judge, lineage: Lineage) -> str:
    """The tuned rubric as a file that `rubric.load` reads, and that asks in the judge's form what the judge asks."""
    front = tuned_rubric(rubric, judge).model_dump(exclude={"instruction"}, exclude_defaults=True)
    if rubric.classes:
        del front["levels"]
        _name_classes(front, rubric)
    text = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=120)
    prose = tuned_rubric(rubric, judge).instruction
    return "\n".join(["---", *lineage.comments(), text.rstrip(), "---", prose.strip(), ""])


def tuned_rubric(rubric: Rubric, judge: Judge) -> Rubric:
    """The rubric with the tuned words where its form takes them from."""
    match judge.form:
        case "yesno":
            asked = {"yesno": judge.instruction}
        case "ab":
            high, low = judges.options(judge.instruction)
            asked = {"high": high, "low": low}
        case "kind" | "does":
            asked = {f"{judge.form}s".replace("doess", "does"): judges.kinds(judge.instruction)}  # type: ignore[dict-item]
        case _:
            return rubric.model_copy(update={"instruction": judge.instruction})
    return rubric.model_copy(update={"questions": rubric.questions.model_copy(update=asked)})


def _name_classes(front: dict[str, Any], rubric: Rubric) -> None:
    """Words that stand for classes stand in the file by the class's name."""
    for key in ("kinds", "does"):
        words = front.get("questions", {}).get(key)
        if words:
            front["questions"][key] = {word: rubric.names[level] for word, level in words.items()}


def write_lineage(
    store: Store,
    name: str,
    part: str,
    *,
    outcome: Outcome,
    bench: Bench,
    val: Sequence[Labelled],
) -> None:
    """The tables `candidates` (every combination, candidate and contender) and `candidate_scores` (each candidate on
    each page of val)."""
    rows = [_screen_row(name, one) for one in outcome.screened]
    rows += [_search_row(name, row, len(val)) for row in family(outcome.found)]
    compared = zip(outcome.contenders, outcome.table, strict=True)
    rows += [_choice_row(name, one, row, len(val)) for one, row in compared]
    store.append("candidates", rows, scope=name, part=part)
    store.append("candidate_scores", _scores(name, outcome.found, bench, val), scope=name, part=part)


def _screen_row(name: str, one: Screened) -> dict[str, Any]:
    return {
        "tune_id": name,
        "candidate_id": one.judge.id,
        "parent_id": "",
        "phase": "form",
        "form": one.judge.form,
        "instruction": one.judge.instruction,
        "metric": f"train {one.row['metric']}",
        "value": one.row["value"],
        "n": one.row["pages"],
        "chars": prompt_chars(one.judge),
        "note": _combination(one.row),
    }


def _combination(row: Mapping[str, Any]) -> str:
    prior = ", prior" if row["prior"] else ""
    return f"{row['layout']}, {row['examples']} examples{prior}"


def _search_row(name: str, row: Mapping[str, Any], n: int) -> dict[str, Any]:
    kept = ("candidate_id", "parent_id", "form", "instruction", "chars")
    return {
        "tune_id": name,
        **{key: row[key] for key in kept},
        "phase": "gepa",
        "metric": "val score",
        "value": row["val_score"],
        "n": n,
        "note": row["change"],
    }


def _choice_row(name: str, one: Contender, row: Mapping[str, Any], n: int) -> dict[str, Any]:
    return {
        "tune_id": name,
        "candidate_id": one.judge.id,
        "parent_id": "",
        "phase": "choice",
        "form": one.judge.form,
        "instruction": one.judge.instruction,
        "metric": f"val {row['metric']}",
        "value": row["value"]["value"],
        "n": n,
        "chars": one.chars,
        "note": one.label,
    }


def _scores(name: str, found: Sequence[Found], bench: Bench, val: Sequence[Labelled]) -> list[dict[str, Any]]:
    rows = []
    pages = {page.page_id: page for page in val}
    for one in found:
        for candidate in one.candidates:
            judge = one.seed.model_copy(update={"instruction": candidate.instruction})
            for page_id, score in candidate.by_page.items():
                said = bench.said(judge, pages[page_id])
                rows.append(
                    {
                        "tune_id": name,
                        "candidate_id": candidate.id,
                        "page_id": page_id,
                        "split": "val",
                        "score": score,
                        "judge_score": said.score if said else None,
                        "level": said.level if said else None,
                    }
                )
    return rows
