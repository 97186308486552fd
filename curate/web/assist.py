"""What the judge said of a page, for raters who asked to be helped. Nothing else on the desk reads judgments."""

from collections.abc import Mapping
from typing import Any, Literal

from curate.errors import BadInput
from curate.pipeline import Work

Assist = Literal["", "after", "before"]
"""When the judge is shown: never, once the rater has chosen, or with the page."""


class Advice:
    """What the newest tuned judge said of pages of train and val; of the sealed test it says nothing here.

    The newest, whether or not labels were given since it was tuned: each label given here makes it an old one.
    """

    def __init__(self, work: Work) -> None:
        tuned = work.store.records("tune")
        self.judge_id = str(tuned[-1]["report"]["tuned_id"]) if tuned else ""
        open_pages = {page["page_id"] for page in work.pages() if page["split"] != "test"}
        rows = work.store.sql("SELECT * FROM judgments WHERE judge_id = ? AND status = 'ok'", [self.judge_id])
        self._said = {row["page_id"]: _words(row) for row in rows.to_pylist() if row["page_id"] in open_pages}
        if not self._said:
            raise BadInput(
                f"--assist: no judge has said anything of these pages yet; run `curate run {work.opened.file} --until score`"
            )

    def of(self, page_id: str) -> dict[str, Any] | None:
        """The judge's level, expected level, probabilities and reason; None of a page it is not asked about here."""
        return self._said.get(page_id)


def _words(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "level": row["level"],
        "expected": row["expected"],
        "probabilities": list(row["probabilities"] or []),
        "reason": row["reason"] or "",
    }
