"""A pipeline of a dozen pages in a folder, with its pages drawn, and the desk on it."""

import json
from pathlib import Path
from typing import Any

from curate import pipeline
from curate.config import Opened, open_pipeline
from curate.progress import Quiet
from curate.schema import Judgment
from curate.store import Store
from curate.web.assist import Assist
from curate.web.desk import Given, PipelineDesk

RUBRIC = """---
name: useful
asks: How useful is <this> page?
keep: 2
levels: {0: "of no <b>use</b>", 1: somewhat, 2: very}
criteria:
  layout:
    asks: Did the layout survive?
    levels: {0: "no", 1: "yes"}
---
Say how useful the page is.
"""
PIPELINE = """name: useful
rubric: useful.md
workspace: work
source: {path: pages.jsonl, text: text, url: url, lang: lang}
judge: {model: openai/never-asked}
sample: {pages: null}
label: {needed: NEEDED, needed_a_class: 1MORE}
"""
TUNED, REASON = "tuned0judge00000", "the reason that the judge gave"
HOSTILE = "<script>document.title = 'owned'</script>\n<img src=x onerror=alert(1)>\n    indented = {{ 7 * 7 }}\n</div>"


def pages(n: int = 12) -> list[dict[str, Any]]:
    """Pages that share no words, of hosts of their own."""
    words = ["alpha", "beta", "gamma", "delta", "eps", "zeta", "eta", "theta", "iota", "kappa", "mu", "nu", "xi", "pi"]
    return [
        {
            "url": f"https://host{i}.example/{i}",
            "lang": "en",
            "text": " ".join(f"{words[i % 14]}{i}x{k}" for k in range(30)),
        }
        for i in range(n)
    ]


def opened(folder: Path, *, rows: list[dict[str, Any]] | None = None, needed: int = 4, **more: Any) -> Opened:
    """The pipeline with its pages drawn, and `more` settings of `label`; no model is started."""
    (folder / "useful.md").write_text(RUBRIC)
    (folder / "p.yaml").write_text(
        PIPELINE.replace("NEEDED", str(needed)).replace("MORE", "".join(f", {k}: {v}" for k, v in more.items()))
    )
    (folder / "pages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows or pages()))
    found = open_pipeline(folder / "p.yaml")
    pipeline.run(found, progress=Quiet(), until="label", on_line=lambda line: None)
    return found


def desk(folder: Path, **given: Any) -> PipelineDesk:
    """The desk on it."""
    return PipelineDesk(opened(folder, **given))


def judged_desk(folder: Path, *, assist: Assist = "", **given: Any) -> PipelineDesk:
    """The desk, where a tuned judge said 2 of every page."""
    found = opened(folder, **given)
    store = Store(found.workspace)
    pages = [row["page_id"] for row in store.rows("pages")]
    said = {"level": 2, "score": 2.0, "expected": 1.9, "probabilities": [0.0, 0.1, 0.9], "reason": REASON}
    store.append("judgments", [Judgment(page, TUNED, "ok", **said).row() for page in pages])
    store.write_record("tune", "tuned", {"fingerprint": "tuned", "report": {"tuned_id": TUNED}})
    return PipelineDesk(found, assist=assist)


def level(page: dict[str, Any], said: int, **given: Any) -> Given:
    """A level for a page."""
    return Given(page_id=page["page_id"], level=said, seconds=given.pop("seconds", 2.5), **given)
