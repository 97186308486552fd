import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.extract.codeblocks import code_table, fenced, language_of, lines_of, looks_like_code, marked, table_lines
from curate.extract.markup import Node, parse


def only(html: str, tag: str) -> Node:
    node = parse(html).find(tag)
    assert node is not None
    return node


def test_lines_break_where_they_were_written_shown_or_laid_out() -> None:
    assert lines_of(only("<pre>a\n  b<br>c</pre>", "pre")) == "a\n  b\nc"
    assert lines_of(only("<pre><div>a</div><div>  b</div></pre>", "pre")) == "a\n  b\n"


def test_line_numbers_and_buttons_are_dropped() -> None:
    html = (
        '<pre><span class="lineno">1 </span>a<span class="line-numbers-rows"><i></i></span><button>Copy</button></pre>'
    )
    assert lines_of(only(html, "pre")) == "a"


@pytest.mark.parametrize(
    ("html", "language"),
    [
        ('<pre class="language-css"><code>x</code></pre>', "css"),
        ('<pre><code class="hljs lang-C++">x</code></pre>', "c++"),
        ('<pre class="brush: java; toolbar: false">x</pre>', "java"),
        ('<pre class="sourceCode haskell">x</pre>', "haskell"),
        ('<pre><code class="language-plaintext">x</code></pre>', ""),
        ('<pre><code data-lang="go">x</code></pre>', "go"),
        ("<pre>x</pre>", ""),
    ],
)
def test_the_language_that_code_is_marked_with(html: str, language: str) -> None:
    assert language_of(only(html, "pre")) == language


def test_a_table_of_lines_is_known_by_its_name_or_its_cells() -> None:
    rows = '<tr><td class="blob-num">1</td><td class="blob-code">if x:</td></tr><tr><td class="blob-num">2</td><td class="blob-code">  y</td></tr>'
    for table in (f'<table class="highlight">{rows}</table>', f"<table>{rows}</table>"):
        assert code_table(only(table, "table"))
        assert table_lines(only(table, "table")) == "if x:\n  y"
    assert not code_table(only("<table><tr><td>1</td><td>two</td></tr></table>", "table"))


@pytest.mark.parametrize(
    "lines", ["int f() {\n  return 1;\n}", "import os\n\nprint(os.name)", "$ ls -l", "x = 1", "<div>\n</div>"]
)
def test_code_is_told_by_its_lines(lines: str) -> None:
    assert looks_like_code(lines)


@pytest.mark.parametrize(
    "lines",
    ["Roses are red\n  Violets are blue", "Dear all,\n\nsee you on Monday", "Mon   Tue   Wed\n1     2     3", ""],
)
def test_verse_letters_and_columns_are_no_code(lines: str) -> None:
    assert not looks_like_code(lines)


def test_marked_by_class() -> None:
    assert marked(only('<div class="codehilite">x</div>', "div"))
    assert not marked(only('<div class="content">x</div>', "div"))


@given(st.text(alphabet="ab` \t\n", max_size=40))
def test_fences_are_longer_than_any_run_of_backticks_inside(code: str) -> None:
    block = fenced(code, "py")
    if not code.strip():
        assert block == ""
        return
    first, *inside, last = block.split("\n")
    assert first == last + "py"
    assert not any(last in line for line in inside)
    assert "".join(inside).split() == code.split() or "".join("".join(inside).split()) == "".join(code.split())
