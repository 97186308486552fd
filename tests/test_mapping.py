from typing import Any

import pyarrow as pa
import pytest

from curate.sources.batches import Shard
from curate.sources.mapping import WEB_NAMES, batch_of, names_in, wanted

MAPPED = {"text": "body", "url": "link", "lang": "", "id": "", "title": "", "html": ""}


def shard(kind: Any) -> Shard:
    return Shard("a", "/a", kind, None, 1)


def test_web_archives_have_names_of_their_own() -> None:
    assert names_in(shard("warc"), MAPPED) == names_in(shard("wet"), MAPPED) == WEB_NAMES
    assert names_in(shard("parquet"), MAPPED) == {"text": "body", "url": "link"}
    assert names_in(shard("jsonl"), {**MAPPED, "html": "raw"}) == {"url": "link", "html": "raw"}


@pytest.mark.parametrize("asked", [["text"], ["body"]])
def test_columns_are_found_by_either_name(asked: list[str]) -> None:
    assert "body" in (wanted(names_in(shard("parquet"), MAPPED), MAPPED, asked) or [])
    assert "text" in (wanted(WEB_NAMES, MAPPED, asked) or [])
    html = {**MAPPED, "html": "raw"}
    assert "raw" in (wanted(names_in(shard("parquet"), html), html, asked) or [])
    assert wanted(WEB_NAMES, MAPPED, None) is None
    assert wanted({"text": "body", "url": "link"}, MAPPED, ["n"]) == ["n"]


def test_a_batch_has_blanks_for_what_is_not_mapped_or_not_there() -> None:
    table = pa.table({"body": ["x", None], "n": [1, 2]})
    names = {"text": "body", "url": "link"}
    made = batch_of(names, shard("parquet"), 5, table, lambda *_: None)
    assert (made.texts(), made.url.to_pylist(), made.lang.to_pylist()) == (["x", ""], ["", ""], ["", ""])
    assert (made.first_row, made.own_id, made.mapped) == (5, None, ("body", "link"))
    own = batch_of({**names, "id": "n"}, shard("parquet"), 5, table, lambda *_: None)
    assert own.page_ids() == ["1", "2"]
