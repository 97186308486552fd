"""The settings of `sample`: what each round draws from, and how."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from curate.sampling.duplicates import GroupBy
from curate.schema import fingerprint


class Shares(BaseModel):
    """How groups are shared out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    train: float = Field(0.4, gt=0)
    """Share that tuning learns from."""
    val: float = Field(0.2, gt=0)
    """Share that chooses between candidates."""
    test: float = Field(0.4, gt=0)
    """Share that is sealed for the report."""


class Design(BaseModel):
    """What a round draws from and how; the same in the first round and in further ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    where: str = ""
    """Only pages that meet this SQL condition, such as `lang = 'de' AND chars > 500`. An expression sees one page: text,
    url, host, lang, title, id, chars (length of the text) and every column of the source."""
    by: str = ""
    """SQL expression whose values are the strata, such as `lang`; empty: all pages are one."""
    bins: int | None = Field(None, gt=1)
    """Cut a numeric `by` into so many bins with as many rows each; their edges are found in a pass over its columns."""
    strata: Literal["proportional", "equal"] | dict[str, float] = "proportional"
    """Pages of each stratum: `proportional` to its distinct pages, `equal`, or shares by name (`"*"`: all others together)."""
    on_short: Literal["refuse", "take"] = "refuse"
    """When a stratum cannot give the share chosen for it: `refuse` to draw, or `take` what is there."""
    most_per_host: int | None = Field(None, gt=0)
    """At most so many pages of one host in a stratum; null: no limit."""
    clusters: int | None = Field(None, gt=1)
    """Clusters of a `diverse` draw; null: about the square root of its pool."""
    pool_pages: int | None = Field(None, gt=0)
    """Pages drawn uniformly that a `diverse` (null: 5 times its pages) or `informative` (10 times) round chooses from."""

    @model_validator(mode="after")
    def _fits(self) -> "Design":
        if not self.by and (self.bins or self.strata != "proportional"):
            raise ValueError("bins and strata need by, the expression whose values are the strata")
        if isinstance(self.strata, dict):
            if self.bins:
                raise ValueError("bins have no names to choose shares by; use by: CASE WHEN ... END, or strata: equal")
            if not self.strata or min(self.strata.values()) <= 0:
                raise ValueError("strata: each share must be greater than 0, and there must be one")
        return self


class Round(Design):
    """A further round, which adds pages to those before and redraws none."""

    pages: int = Field(gt=0)
    """Pages to add."""
    how: Literal["uniform", "diverse", "informative"] = "uniform"
    """`uniform`, `diverse` (every cluster alike), or `informative` (those that would teach a classifier most)."""


class Settings(Design):
    """Settings of `sample`."""

    pages: int | None = Field(2000, gt=0)
    """Pages to draw, uniformly over distinct pages; null: all."""
    how: Literal["uniform", "diverse"] = "uniform"
    """`uniform`, or `diverse`: the same number of each cluster of what pages are about."""
    seed: str = Field("curate", min_length=1)
    """Another word draws other pages."""
    shares: Shares = Shares()
    """Train, val and test shares of the groups; need not sum to 1."""
    group_by: GroupBy = "host"
    """What must not be split: `host` (hosts and near-duplicates) or `near_duplicate` alone."""
    similarity: float = Field(0.7, gt=0, lt=1)
    """Jaccard similarity of 4-word shingles from which two pages are near-duplicates."""
    rounds: list[Round] = []
    """Further rounds. Add one at the end and run again: the pages drawn before stay as they are."""

    @model_validator(mode="after")
    def _countable(self) -> "Settings":
        if self.how == "diverse" and self.pages is None:
            raise ValueError("how: diverse needs a number of pages")
        return self


def names(settings: Settings, source_fingerprint: str) -> list[str]:
    """The identity of the sample after each of its rounds: settings up to there, and source. The last is the stage's."""
    return [
        fingerprint("sample", {"settings": _until(settings, count).model_dump(), "source": source_fingerprint})
        for count in range(len(settings.rounds) + 1)
    ]


def _until(settings: Settings, count: int) -> Settings:
    return settings.model_copy(update={"rounds": settings.rounds[:count]})
