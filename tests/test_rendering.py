import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.sources import Source, read, shards
from curate.sources.batches import Skips
from curate.sources.rendering import rendered, variables

CHOICES = pa.array([{"label": ["A", "B"], "text": ["sea", "desert"]}, {"label": ["A"], "text": ["moon"]}])
QUIZ = "Question: {{ q }}\n{% for l in choices.label %}\n{{ l }}. {{ choices.text[loop.index0] }}\n{% endfor %}"


def test_a_template_makes_the_text_of_each_row_from_its_columns() -> None:
    table = pa.table({"q": ["Where?", "What?"], "choices": CHOICES, "other": [1, 2]})
    assert rendered(QUIZ, table, Skips().add).to_pylist() == [
        "Question: Where?\nA. sea\nB. desert",
        "Question: What?\nA. moon",
    ]
    assert variables(QUIZ) == {"q", "choices"}


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=20), min_size=1, max_size=5))
def test_what_stands_in_a_row_is_text_and_never_template(values: list[str]) -> None:
    marked = [f"{{{{ 7 * 7 }}}}{value}" for value in values]
    assert rendered("x{{ a }}y", pa.table({"a": marked}), Skips().add).to_pylist() == [f"x{value}y" for value in marked]


@pytest.mark.parametrize("template", ["{{ a", "{% for %}", "{% endif %}"])
def test_a_broken_template_is_named(template: str) -> None:
    with pytest.raises(ValueError, match="line 1: "):
        variables(template)
    with pytest.raises(ValueError, match="template: is no Jinja2 template: line 1"):
        Source(path="x.jsonl", template=template)


@pytest.mark.parametrize("template", ["{{ a.b.c }}", "{{ a[0].x.y }}", "{{ a.__class__.__mro__ }}"])
def test_a_row_that_does_not_fit_is_an_error(template: str) -> None:
    with pytest.raises(ValueError, match="the template does not fit a row"):
        rendered(template, pa.table({"a": ["text"]}), Skips().add)


def test_a_source_with_a_template_reads_no_text_column(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.jsonl").write_text('{"q": "Why?", "n": 1}\n{"q": "How?", "n": 2}\n')
    source = Source(path="a.jsonl", template="{{ n }}: {{ q }}", id="n")
    (shard,) = shards(source, below=tmp_path)
    (batch,) = read(source, shard)
    assert batch.texts() == ["1: Why?", "2: How?"]
    (few,) = read(source, shard, columns=["text", "id"])
    assert (few.texts(), few.page_ids()) == (["1: Why?", "2: How?"], ["1", "2"])
    (none,) = read(source, shard, columns=["q"])
    assert none.texts() == ["", ""]


def test_a_column_that_a_template_wants_and_a_shard_lacks_is_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from curate.errors import BadInput

    (tmp_path / "a.jsonl").write_text('{"q": "Why?"}\n')
    with pytest.raises(
        BadInput, match=r"source.template: .*a.jsonl has no column 'qq' in its first 1,000 rows; did you mean q\?"
    ):
        shards(Source(path="a.jsonl", template="{{ qq }}"), below=tmp_path)


def test_html_and_template_are_two_texts() -> None:
    with pytest.raises(ValueError, match="give html or template, not both"):
        Source(path="x.jsonl", html="html", template="{{ a }}")
