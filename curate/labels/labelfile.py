"""How a file of labels is to be read: which of its columns say what."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from curate.labels.values import said

Match = Literal["text", "url", "page_id"]


class LabelFile(BaseModel):
    """A file of labels to take over. Without `path`, labels are columns of the source itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    path: str = ""
    """Parquet, CSV, TSV, JSON or JSONL file, relative to the pipeline file; empty: the source."""
    match: Match = "text"
    """How rows find their page: `text` or `url` (that column is compared) or `page_id`."""
    column: str = ""
    """Column of the text, URL or page id; empty: the name in `match`."""
    level: str = "level"
    """Column of the level."""
    map: dict[str, int | str] = Field(default_factory=dict)
    """Values of that column and the levels (or classes) they stand for; empty: they are levels, or names of classes.
    Booleans are `"true"` and `"false"`."""
    rater: str = ""
    """Column of the rater's name; empty: all are one rater."""
    rater_name: str = "imported"
    """The rater's name where there is no column."""
    note: str = ""
    """Column of the rater's note."""
    criteria: str = ""
    """Column of an object of criterion to level."""

    @field_validator("map", mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        if any(isinstance(value, bool) for value in given):
            raise ValueError(
                "map: quote yes, no, true and false, which YAML reads as booleans, as in {'yes': 1, 'no': 0}"
            )
        return {said(value): level for value, level in given.items()}

    @property
    def key(self) -> str:
        """The column by which rows find their page."""
        return self.column or self.match
