"""What can be set of `tune`."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from curate.judge import Form, Layout

GRADERS = ("human", "rubric")
BUDGETS = {"light": 6, "medium": 12, "heavy": 18}
"""Candidates that a budget has room for on all of val."""
PROPOSALS_A_CANDIDATE = 3
"""Proposals that a budget has room for, for each of those candidates."""


class ModelChoice(BaseModel):
    """One of several models that are tuned and compared."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str
    """LiteLLM model string, or local/NAME."""
    name: str = ""
    """What it is called in tables; empty: the model string."""
    api_base: str = ""
    """URL of an own or compatible server; empty: the provider's."""
    api_key_env: str = ""
    """Environment variable that holds the key."""
    input_usd_per_million: float | None = Field(None, ge=0)
    """US dollars for a million tokens sent; null: the price list."""
    output_usd_per_million: float | None = Field(None, ge=0)
    """US dollars for a million tokens received; null: the price list."""
    usd_per_hour: float | None = Field(None, ge=0)
    """What an hour of the machine that serves it costs, in US dollars: the price of a model without a price list."""


class Settings(BaseModel):
    """Settings of `tune`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    labels: str = Field("", pattern=r"^(judge:[0-9a-f]+)?$")
    """Instead of people's labels, what a judge of the workspace said: `judge:ID` teaches a cheaper model (the sealed test
    still compares with people)."""
    unlabelled_pages: int = Field(0, ge=0)
    """Pages of train and val without labels to tune on as well: only graders.rubric can grade them."""
    forms: list[Form] = Field(default=["level", "yesno", "ab", "kind", "does", "letter"], min_length=1)
    """Answer forms to try on the train pages, of those that the rubric has words for; the best one is tuned."""
    layouts: list[Layout] = Field(default=["page_first"], min_length=1)
    """Places of the page to try: before the question, or after the rubric."""
    examples: list[int] = Field(default=[0], min_length=1)
    """Counts of labelled train pages to try as examples in the prompt, balanced over the levels, the shortest first."""
    prior: bool = False
    """Also try each form with what the model answers on an empty page taken off (logprobs needed)."""
    screen_pages: int | None = Field(None, gt=0)
    """Train pages on which the last and best combinations are compared; null: all."""
    starts: int = Field(1, ge=1)
    """Best combinations that get a search each; they share the budget."""
    budget: Literal["light", "medium", "heavy"] | None = None
    """Budget of the search by the size of val: room for 6, 12 or 18 candidates on all of val and 3 proposals for each;
    null: max_metric_calls."""
    max_metric_calls: int = Field(300, gt=0)
    """Budget of the GEPA search in judged pages."""
    max_usd: float | None = Field(None, gt=0)
    """US dollars at which tuning stops, judge and reflection model together; the calls in flight are still paid."""
    max_minutes: float | None = Field(None, gt=0)
    """Minutes after which tuning stops with the best so far."""
    minibatch: int = Field(6, gt=0)
    """Train pages on which each proposal is tried first; balanced over the levels where one is rare."""
    anchors: int = Field(12, ge=2)
    """Train pages that every page is ranked against, half of them worth keeping (objective `rank`)."""
    objective: Literal["auto", "rank", "level", "exact"] = "auto"
    """What the search raises: `rank` (share of the anchors of other levels ranked rightly), `level` (nearness to the
    mean level, rare levels counting as much as common ones) or `exact` (the right class); `auto`: by the answer form."""
    select: Literal["auto", "auc", "qwk", "kappa", "macro_f1", "accuracy"] = "auto"
    """The number on val that decides; `auto`: auc, or for classes macro_f1 (accuracy where no class is kept)."""
    graders: dict[str, float] = Field(default={"human": 1.0})
    """Weights of those who grade a judgment in the search: `human` (people's labels), `rubric` (a model, by
    grader_rubric)."""
    grader_rubric: str = ""
    """Rubric file by which the grader `rubric` (judge.reflection_model) grades a judge's answer, relative to the
    pipeline file."""
    finalists: int = Field(2, ge=1)
    """Best candidates of the search that are compared on val with the form alone and the untuned judge."""
    fit_answers: bool = True
    """Also try the finalists with a weight for each answer, fitted on train (forms `level`, `kind` and `does`, with logprobs)."""
    reflection: Literal["notes", "model"] = "notes"
    """Who proposes instructions: `model` (judge.reflection_model), or `notes`: built from what raters wrote of
    misjudged pages, and from the rubric's words for their levels."""
    max_chars: int = Field(6000, gt=0)
    """Longest instruction in characters; longer proposals are rejected."""
    ablate: bool = False
    """Leave out each rule that tuning added, in turn, and measure on val what it was worth."""
    models: list[ModelChoice] = Field(default=[])
    """Models to tune and compare, the budget shared between them; empty: judge.model alone."""
    prefer: Literal["quality", "cost"] = "quality"
    """Of several models take the best on val, or the cheapest within one standard error of it."""
    seed: int = 0
    """Random seed of the search."""

    @field_validator("examples")
    @classmethod
    def _counts(cls, counts: list[int]) -> list[int]:
        if any(not 0 <= count <= 32 for count in counts):
            raise ValueError(f"must be counts of 0 to 32 (got {counts})")
        return counts

    @field_validator("graders")
    @classmethod
    def _known(cls, graders: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(graders) - set(GRADERS))
        if unknown:
            raise ValueError(f"no such grader as {unknown[0]} (allowed: {', '.join(GRADERS)})")
        if any(weight < 0 for weight in graders.values()) or not sum(graders.values()) > 0:
            raise ValueError(f"weights must be 0 or more, and one above 0 (got {graders})")
        return graders

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.budget and "max_metric_calls" in self.model_fields_set:
            raise ValueError("budget: give budget or max_metric_calls, not both")
        if self.graders.get("rubric", 0) > 0 and not self.grader_rubric:
            raise ValueError("grader_rubric: is missing; graders.rubric needs the file it grades by")
        return self

    @property
    def human(self) -> float:
        """The weight of people's labels among the graders, 0..1."""
        return self.graders.get("human", 0.0) / sum(self.graders.values())

    def metric_calls(self, val: int) -> int:
        """Judged pages that a search may ask for, with `val` pages of val: the seed and the candidates on all of them,
        and twice a minibatch for each proposal (its parent and itself)."""
        if self.budget is None:
            return self.max_metric_calls
        candidates = BUDGETS[self.budget]
        return val * (1 + candidates) + 2 * self.minibatch * PROPOSALS_A_CANDIDATE * candidates
