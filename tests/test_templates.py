from pathlib import Path

import pytest

from curate import rubric as rubrics
from curate.config import open_pipeline, read
from curate.errors import BadInput, CurateError
from curate.templates import copy_pair, folder

PAIRS = ("code", "commonsenseqa", "quality", "stem")


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("like", PAIRS)
def test_a_copied_pair_loads_under_its_new_name_and_says_the_same(tmp_path: Path, like: str) -> None:
    paths = copy_pair("my-filter_2", like, tmp_path)
    assert paths == [tmp_path / "pipelines" / "my-filter_2.yaml", tmp_path / "rubrics" / "my-filter_2.md"]
    assert tree(tmp_path) == ["pipelines/my-filter_2.yaml", "rubrics/my-filter_2.md"]
    (tmp_path / "pages.jsonl").write_text('{"text": "x", "answerKey": "A"}\n')
    overrides = [f"source={{path: {tmp_path / 'pages.jsonl'}}}"]
    opened = open_pipeline(paths[0], overrides)
    shipped = read(folder("pipelines") / f"{like}.yaml")
    assert opened.pipeline.name == opened.rubric.name == "my-filter_2"
    same = {"name", "rubric", "source"}
    assert opened.pipeline.model_dump(exclude=same) == shipped.model_dump(exclude=same)
    original = rubrics.load(folder("rubrics") / f"{like}.md")
    assert opened.rubric.model_copy(update={"name": like}) == original
    assert opened.workspace == tmp_path / "runs" / "my-filter_2"


@pytest.mark.parametrize("like", PAIRS)
def test_a_copy_differs_from_the_shipped_files_in_its_name_alone(tmp_path: Path, like: str) -> None:
    for path, kind in zip(copy_pair("mine", like, tmp_path), ("pipelines", "rubrics"), strict=True):
        before = (folder(kind) / f"{like}{path.suffix}").read_text(encoding="utf-8").splitlines()
        after = path.read_text(encoding="utf-8").splitlines()
        assert len(before) == len(after)
        changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        assert changed
        for a, b in changed:
            assert (
                a.replace(f"{like}.yaml", "mine.yaml")
                .replace(f"{like}.md", "mine.md")
                .replace(f"name: {like}", "name: mine")
                == b
            )
    assert f"pipelines/{like}.yaml" not in (tmp_path / "pipelines" / "mine.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["", "My", "a b", "../x", "a/b", "ä", "-x", ".x", "x\n", "x;y"])
def test_a_bad_name_is_one_line_and_writes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput) as caught:
        copy_pair(name, "quality", tmp_path)
    assert str(caught.value) == f"curate new: NAME must be lower-case letters, digits, - and _ (got {name!r})"
    assert tree(tmp_path) == []


@pytest.mark.parametrize(("like", "hint"), [("qualty", "; did you mean quality?"), ("demo", ""), ("../x", "")])
def test_an_unknown_pair_offers_the_nearest(tmp_path: Path, like: str, hint: str) -> None:
    with pytest.raises(BadInput) as caught:
        copy_pair("mine", like, tmp_path)
    assert (
        str(caught.value) == f"curate new: --like: no pair {like!r}{hint} (allowed: code, commonsenseqa, quality, stem)"
    )
    assert tree(tmp_path) == []


@pytest.mark.parametrize("there", ["pipelines/mine.yaml", "rubrics/mine.md"])
def test_nothing_is_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir()
    (tmp_path / there).write_text("my work")
    with pytest.raises(BadInput) as caught:
        copy_pair("mine", "quality", tmp_path)
    assert str(caught.value) == f"curate new: {tmp_path / there} is there already; choose another name or delete it"
    assert tree(tmp_path) == [there]
    assert (tmp_path / there).read_text() == "my work"


@pytest.mark.parametrize("blocked", ["pipelines", "rubrics"])
def test_a_pair_is_written_whole_or_not_at_all(tmp_path: Path, blocked: str) -> None:
    (tmp_path / blocked).write_text("a file in the place of the folder")
    with pytest.raises(CurateError, match="could not be written"):
        copy_pair("mine", "quality", tmp_path)
    assert tree(tmp_path) == [blocked]
