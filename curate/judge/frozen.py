"""The frozen judge: rubric text, model and every setting, named by the hash of all of it; kept, compared, described."""

import difflib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.errors import BadInput
from curate.judge.fencing import Cut
from curate.judge.forms import FORMS
from curate.rubric import Criterion, Scale, letters_of
from curate.schema import fingerprint

Layout = Literal["page_first", "rubric_first"]


class Example(BaseModel):
    """A labelled page that is shown, with its answer, before the page that is asked about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    page_id: str
    """Which page it is."""
    text: str
    """The page, cut."""
    level: int
    """What people said of it."""
    reason: str = ""
    """Why, for the forms that give a reason."""
    criteria: dict[str, int] = Field(default_factory=dict)
    """What people said of the criteria, for the `json` form."""


class Judge(BaseModel):
    """Everything that decides what is said of a page. Its id is the hash of all fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rubric: str
    """Name of the rubric."""
    model: str
    """LiteLLM model string, or local/NAME."""
    weights: str = ""
    """SHA-256 of the weights where they are known (embedded models)."""
    form: str
    """How the answer is given: a name of `forms.FORMS`."""
    layout: Layout
    """What stands first: the page (and the question last), or the rubric (in the system message)."""
    instruction: str
    """The text that tuning rewrites: prose, a question, or the options, by form."""
    levels: dict[int, str]
    """Levels of the rubric, or its classes by their place, with their descriptions."""
    keep: int
    """Pages of this level and above are worth keeping; 0 on a choice scale, see `kept`."""
    criteria: dict[str, Criterion] = Field(default_factory=dict)
    """Criteria asked beside the level, by the json form."""
    fence: str
    """Key of the marks around the page: with it, a page cannot know its own mark."""
    page_chars: int = 3000
    """Characters of the page that are shown."""
    logprobs: bool = True
    """Whether the model reports the probabilities of its answers."""
    temperature: float | None = 0.0
    """Sampling temperature; None: not sent, for models that take none."""
    max_tokens: int = 1
    """Longest reply in tokens, thinking included."""
    answer_weights: tuple[float, ...] = ()
    """Weight of each answer's log-probability in the score, in the order of `answers`, fitted on labels: a model's own
    lean towards some words is taken out. Empty: not fitted, the answers count by their levels."""
    cuts: tuple[float, ...] = ()
    """Scores at which the level rises by one, fitted on labels; empty: not fitted."""
    scale: Scale = "ordinal"
    """The rubric's scale."""
    text_logprobs: bool = False
    """Whether forms that write their level into a text (`json`, `reasoned`) are read by its probabilities, too."""
    use_schema: bool = True
    """Whether the `json` form sends its schema along; without, the reply is parsed as it comes."""
    classes: tuple[str, ...] = ()
    """Names of the classes, on a choice scale."""
    kept_classes: tuple[int, ...] = ()
    """Places of the classes worth keeping, on a choice scale."""
    page_tokens: int | None = Field(None, ge=32)
    """Tokens of the page that are shown, by the model's own tokenizer; None: `page_chars` is the limit."""
    cut: Cut = "head"
    """What is shown of a page that is longer."""
    seed: int | None = None
    """Seed of the sampling; None: not sent."""
    reasoning_effort: str = ""
    """How much a reasoning model thinks; empty: not sent."""
    served: str = ""
    """Who runs the model: `embedded`, `own server` or `provider`; empty: not known."""
    quantisation: str = ""
    """Precision of the weights, where it is known."""
    examples: tuple[Example, ...] = ()
    """Labelled pages shown before the page, as turns of the conversation."""
    prior: tuple[float, ...] = ()
    """Log-probabilities of the answers (for each order in turn) on an empty page, taken off those on the page:
    contextual calibration (Zhao et al. 2021). Empty: none."""

    @property
    def id(self) -> str:
        """The judge's name. Fields that came later count where they are set, so that older judges keep theirs."""
        fields, said = type(self).model_fields, self.model_dump()
        return fingerprint(
            {
                key: value
                for key, value in said.items()
                if key not in _LATER or getattr(self, key) != fields[key].default
            }
        )

    @property
    def top(self) -> int:
        """The highest level."""
        return max(self.levels)

    @property
    def kept(self) -> tuple[int, ...]:
        """The levels, or places of the classes, that are worth keeping."""
        if self.scale == "choice":
            return self.kept_classes
        return tuple(level for level in self.levels if level >= self.keep)

    @property
    def names(self) -> dict[int, str]:
        """What each level is called: its digit, or the name of the class."""
        return dict(enumerate(self.classes)) if self.classes else {level: str(level) for level in self.levels}

    @property
    def letters(self) -> dict[int, str]:
        """The key each level is answered with, see `Rubric.letters`."""
        return letters_of(self.names, by_place=bool(self.classes))

    @property
    def orders(self) -> tuple[str, ...]:
        """How often the page is asked about, and how each time: A/B is asked in both orders."""
        return FORMS[self.form].orders


_LATER = frozenset(list(Judge.model_fields)[list(Judge.model_fields).index("scale") :])


def load(folder: Path, judge_id: str) -> Judge:
    """A frozen judge out of `folder`. Raises BadInput when it is not there or its content is not what its name says."""
    path = folder / judge_id / "judge.json"
    try:
        judge = Judge.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path}: no readable judge ({' '.join(str(error).split())[:120]}); run `curate tune` again"
        ) from error
    if judge.id != judge_id:
        raise BadInput(
            f"{path}: was edited by hand (its content is {judge.id}); judges are frozen, change the rubric instead"
        )
    return judge


def diff(a: Judge, b: Judge) -> list[str]:
    """What differs between two judges, in words: a line for each field, and a unified diff of the instructions."""
    lines = []
    for name in Judge.model_fields:
        one, other = getattr(a, name), getattr(b, name)
        if one != other:
            lines += _words_of_change(name, one, other)
    return lines


def _words_of_change(name: str, one: Any, other: Any) -> list[str]:
    if name == "instruction":
        changed = difflib.unified_diff(one.splitlines(), other.splitlines(), lineterm="", n=1)
        return ["instruction:", *(f"  {line}" for line in list(changed)[2:])]
    if isinstance(one, dict):
        keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
        return [f"{name}.{key}: {_short(one.get(key))} -> {_short(other.get(key))}" for key in keys]
    if name == "examples":
        pages = [", ".join(example.page_id for example in each) or "none" for each in (one, other)]
        return [
            f"examples: {pages[0]} -> {pages[1]}" if pages[0] != pages[1] else "examples: the same pages, other words"
        ]
    return [f"{name}: {_short(one)} -> {_short(other)}"]


def _short(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump()
    text = " ".join(str(value).split()) if value not in (None, "", ()) else "none"
    return text if len(text) <= 120 else f"{text[:117]}..."


def describe(judge: Judge) -> str:
    """The judge as people read it: what it is, how it asks, what was fitted, and its instruction."""
    shown = f"{judge.page_tokens} tokens" if judge.page_tokens else f"{judge.page_chars} characters"
    facts = {
        "judge": judge.id,
        "rubric": judge.rubric,
        "model": " ".join(filter(None, [judge.model, judge.quantisation, judge.served and f"({judge.served})"])),
        "weights": judge.weights,
        "form": f"{judge.form}: {FORMS[judge.form].about}",
        "layout": judge.layout.replace("_", " "),
        "page": f"{shown}, {judge.cut.replace('_', ', ')}",
        "scale": f"{judge.scale}: {', '.join(judge.names.values())}; keeps {_kept_words(judge)}",
        "reply": _reply_words(judge),
        "examples": ", ".join(f"{each.page_id} ({judge.names[each.level]})" for each in judge.examples),
        "fitted": ", ".join(name for name in ("prior", "answer_weights", "cuts") if getattr(judge, name)),
    }
    lines = [f"{name + ':':<10}{value}" for name, value in facts.items() if value]
    return "\n".join([*lines, "", judge.instruction])


def _kept_words(judge: Judge) -> str:
    return ", ".join(judge.names[level] for level in judge.kept) or "none in particular"


def _reply_words(judge: Judge) -> str:
    facts = {
        "at most {} tokens": judge.max_tokens,
        "temperature {}": judge.temperature,
        "seed {}": judge.seed,
        "reasoning effort {}": judge.reasoning_effort or None,
    }
    words = [template.format(value) for template, value in facts.items() if value is not None]
    return ", ".join([*words, "with probabilities" if judge.logprobs else "as text"])


def mismatch(judge: Judge, **now: Any) -> str:
    """What differs between the judge as it was frozen and what it would be asked with `now` (model, weights, served,
    quantisation, or any other field); empty where nothing does. What is not known on either side is no difference."""
    known = {name: value for name, value in now.items() if value and getattr(judge, name)}
    differing = [
        f"{name} was {_short(getattr(judge, name))} and is {_short(value)}"
        for name, value in known.items()
        if getattr(judge, name) != value
    ]
    if not differing:
        return ""
    return f"judge {judge.id} was tuned with something else: {'; '.join(differing)}; run `curate tune` again, or set it back"
