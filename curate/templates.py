"""The pipelines and rubrics that come with curate, for `curate new`."""

import os
import re
from pathlib import Path

from curate.errors import BadInput, CurateError, did_you_mean
from curate.store import write_text


def folder(kind: str) -> Path:
    """Where the shipped `pipelines` or `rubrics` are: in the installed package, or beside it in a clone."""
    inside = Path(__file__).parent / f"_{kind}"
    return inside if inside.is_dir() else Path(__file__).parents[1] / kind


def copy_pair(name: str, like: str, root: Path) -> list[Path]:
    """Write pipelines/<name>.yaml and rubrics/<name>.md below `root` as copies of `like`, renamed.

    Raises BadInput for a bad name, an unknown `like`, or when either file is there already.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise BadInput(f"curate new: NAME must be lower-case letters, digits, - and _ (got {name!r})")
    known = sorted(
        {p.stem for p in folder("pipelines").glob("*.yaml")} & {p.stem for p in folder("rubrics").glob("*.md")}
    )
    if like not in known:
        raise BadInput(f"curate new: --like: no pair {like!r}{did_you_mean(like, known)}")
    targets = [root / "pipelines" / f"{name}.yaml", root / "rubrics" / f"{name}.md"]
    for target in targets:
        if os.path.lexists(target):
            raise BadInput(f"curate new: {target} is there already; choose another name or delete it")
    pipeline = (folder("pipelines") / f"{like}.yaml").read_text(encoding="utf-8")
    rubric = (folder("rubrics") / f"{like}.md").read_text(encoding="utf-8")
    pipeline = _renamed(pipeline, name).replace(f"rubrics/{like}.md", f"rubrics/{name}.md")
    pipeline = pipeline.replace(f"pipelines/{like}.yaml", f"pipelines/{name}.yaml")
    write_text(targets[1], _renamed(rubric, name))
    try:
        return [write_text(targets[0], pipeline), targets[1]]
    except CurateError:
        targets[1].unlink()
        raise


def _renamed(text: str, name: str) -> str:
    return re.sub(r"^name: \S+", f"name: {name}", text, count=1, flags=re.MULTILINE)
