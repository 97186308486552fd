import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.extract import Extracted, extract

PROSE = " ".join(["A page with something to say keeps it."] * 8)
FILLER = f"<p>{PROSE}</p>"


def text_of(html: str) -> str:
    """What is extracted of this after a paragraph of prose."""
    text = extract(FILLER + html).text
    assert text.startswith(PROSE)
    return text[len(PROSE) :].strip("\n")


def test_title_and_language_are_those_of_the_page() -> None:
    found = extract(f'<html lang="de-AT"><head><title> Ein\n Titel </title></head><body>{FILLER}</body></html>')
    assert found == Extracted(PROSE, "Ein Titel", "de-AT")
    assert (
        extract(
            '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml" xml:lang="fr"><body>x</body></html>'
        ).lang
        == "fr"
    )


@pytest.mark.parametrize("html", ["", b"", " \n", b"\0\0", "<!-- -->"])
def test_nothing_is_said_to_be_empty(html: str | bytes) -> None:
    assert extract(html) == Extracted("", why="empty")


def test_a_page_without_text_says_so() -> None:
    assert extract("<html><body><img src=x></body></html>").why == "no text"


CODE = "def f(x):\n    if x:\n        return 1\n\n    return 2"
SPANS = '<span class="k">def</span> <span class="nf">f</span>(x):\n    <span class="k">if</span> x:\n        <span class="k">return</span> 1\n\n    <span class="k">return</span> 2'
ROWS = "".join(
    f'<tr><td class="blob-num" data-line-number="{i}">{i}</td><td class="blob-code">{line}</td></tr>'
    for i, line in enumerate(SPANS.split("\n"), 1)
)


@pytest.mark.parametrize(
    ("html", "language"),
    [
        (f"<pre>{CODE}</pre>", ""),
        (f"<pre><code>{CODE}</code></pre>", ""),
        (f'<pre><code class="hljs language-python">{SPANS}</code></pre>', "python"),
        (f'<div class="highlight-python notranslate"><div class="highlight"><pre><span></span>{SPANS}\n</pre></div></div>', "python"),
        (f'<div class="language-python highlighter-rouge"><pre class="highlight"><code><table class="rouge-table"><tr><td class="rouge-gutter gl"><pre class="lineno">1\n2\n</pre></td><td class="rouge-code"><pre>{SPANS}\n</pre></td></tr></table></code></pre></div>', "python"),
        (f'<table class="highlighttable"><tr><td class="linenos"><pre>1\n2\n3</pre></td><td class="code"><div><pre>{SPANS}</pre></div></td></tr></table>', ""),
        (f'<table class="highlight tab-size js-file-line-container">{ROWS}</table>', ""),
        (f'<pre class="line-numbers language-python"><code>{SPANS}<span class="line-numbers-rows"><span></span></span></code></pre>', "python"),
        ("<code>" + CODE.replace("\n", "<br>") + "</code>", ""),
        (f"<textarea>{CODE}</textarea>", ""),
    ],
)  # fmt: skip
def test_code_is_fenced_with_its_lines_and_without_their_numbers(html: str, language: str) -> None:
    assert text_of(html) == f"```{language}\n{CODE}\n```"


def test_code_that_is_given_twice_is_taken_once() -> None:
    assert text_of(f"<pre>{CODE}</pre><textarea>{CODE}</textarea>").count("return 2") == 1


def test_preformatted_verse_keeps_its_lines_and_is_no_code() -> None:
    assert text_of("<pre>Roses are red\n   Violets are blue</pre>") == "Roses are red\n   Violets are blue"


def test_code_in_a_line_stays_in_it() -> None:
    assert text_of("<p>call <code>f(x)</code>, then <code>g</code>.</p>") == "call `f(x)`, then `g`."


KATEX = '<span class="katex"><span class="katex-mathml"><math{}><semantics><mi>x</mi><annotation encoding="application/x-tex">x_1</annotation></semantics></math></span><span class="katex-html" aria-hidden="true">x1</span></span>'
WIKI = '<span class="mwe-math-element"><span style="display: none;"><math alttext="{\\displaystyle a^{2}}"><mi>a</mi></math></span><img class="mwe-math-fallback-image-inline" aria-hidden="true" alt="{\\displaystyle a^{2}}"></span>'


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<p>so <math alttext="E=mc^2"><mi>E</mi></math> is</p>', "so $E=mc^2$ is"),
        ('<p>so <math display="block" alttext="E"><mi>E</mi></math> is</p>', "so\n$$E$$\nis"),
        ('<p>so <script type="math/tex">x^2</script> is</p>', "so $x^2$ is"),
        ('<p>so <span class="MathJax_Preview">x2</span><span class="MathJax">x2</span><script type="math/tex; mode=display">x^2</script></p>', "so\n$$x^2$$"),
        (f"<p>so {KATEX.format('')} is</p>", "so $x_1$ is"),
        (f'<p>so <span class="katex-display">{KATEX.format("")}</span> is</p>', "so\n$$x_1$$\nis"),
        (f"<p>so {WIKI} is</p>", "so $a^{2}$ is"),
        ('<p>so <img class="latex" src="l.php" alt="\\pi r^2"> is</p>', r"so $\pi r^2$ is"),
        (r"<p>so \(a+b\), \[c\] and $$d_i$$ are</p>", r"so \(a+b\), \[c\] and $$d_i$$ are"),
        ("<p>so <math><mfrac><mi>a</mi><mi>b</mi></mfrac></math> is</p>", r"so $\frac{a}{b}$ is"),
        ('<table class="ltx_equation ltx_eqn_table"><tr><td></td><td><math display="block" alttext="a=b"><mi>a</mi></math></td><td>(1)</td></tr></table>', "$$a=b$$ (1)"),
    ],
)  # fmt: skip
def test_formulas_are_taken_once_as_tex(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("x<sup>2</sup> and e<sup>i x</sup>", "x^2 and e^{i x}"),
        ("10<sup>-23</sup>, a<sub>ij</sub>, log<sub>2</sub> n", "10^{-23}, a_{ij}, log_2 n"),
        ("H<sub>2</sub>O, Ca(OH)<sub>2</sub>, SO<sub>4</sub><sup>2-</sup>", "H2O, Ca(OH)2, SO4^{2-}"),
        ("the 1<sup>st</sup>, Name<sup>TM</sup>", "the 1st, NameTM"),
        ('as shown<sup><a href="#r1">[1]</a></sup>', "as shown[1]"),
    ],
)
def test_raised_and_lowered(html: str, text: str) -> None:
    assert text_of(f"<p>{html}</p>") == text


def test_tables_of_data_keep_rows_and_header() -> None:
    html = "<table><caption>Prices</caption><tr><th>What<th>Euro</tr><tr><td>Tea<td>2 <b>or</b> 3</tr></table>"
    assert text_of(html) == "Prices\nWhat | Euro\nTea | 2 or 3"


def test_tables_that_lay_out_a_page_are_no_rows() -> None:
    html = "<table><tr><td><h2>News</h2><p>One.</p></td><td><ul><li>Two</ul></td></tr></table>"
    assert text_of(html) == "News\n\nOne.\n\n- Two"


def test_lists_keep_marks_numbers_and_depth() -> None:
    html = "<ul><li>a<ol start=3><li>b<li value=7>c</ol><li>d</ul>"
    assert text_of(html) == "- a\n  3. b\n  7. c\n- d"


def test_headings_definitions_and_quotes() -> None:
    html = "<h2>Head</h2><dl><dt>Term<dd>Meaning</dl><blockquote><p>one</p><p>two</p></blockquote>end"
    assert text_of(html) == "Head\n\nTerm\n: Meaning\n\n> one\n>\n> two\n\nend"


def test_code_in_a_list_is_indented_with_it() -> None:
    assert text_of("<ul><li>run<pre><code>a\n\n  b</code></pre></ul>") == "- run\n\n  ```\n  a\n\n    b\n  ```"


def test_what_is_around_the_content_goes() -> None:
    html = (
        '<nav><a href="/">Home</a></nav><div class="cookie-notice">We use cookies</div>'
        f'<main>{FILLER}<!-- note --><p hidden>secret</p></main><div class="share-bar">Tweet</div>'
        "<script>var a;</script><style>p{}</style><noscript>enable</noscript><footer>© 2020 Somebody</footer>"
    )
    assert extract(html).text == PROSE


def test_a_page_of_boilerplate_keeps_its_text() -> None:
    text = extract('<nav><a href="/">Home</a> <a href="/a">About</a></nav><footer>© 2020 Somebody</footer>').text
    assert text.split() == ["Home", "About", "©", "2020", "Somebody"]


def test_every_post_of_a_thread_stays() -> None:
    posts = "".join(
        f'<div class="post comment" id="comment-{i}"><p>Reply {i} to that.</p><ul class="sig"><li>bye</ul></div>'
        for i in range(30)
    )
    text = extract(f'<nav>Forum</nav><div class="thread">{FILLER}{posts}</div>').text
    assert all(f"Reply {i} to that." in text for i in range(30))


def test_a_frameset_gives_what_it_says_without_frames() -> None:
    html = "<html><frameset><frame src=a><noframes><body>No <b>frames</b></body></noframes></frameset></html>"
    assert extract(html).text == "No frames"


def test_declared_characters_that_are_wrong_are_no_error() -> None:
    assert extract("<p>日本語のページ</p>".encode("shift_jis"), charset="utf-8").text == "日本語のページ"
    assert extract(b"<meta charset=nonsense><p>caf\xe9 au lait</p>").text.startswith("caf")


def test_links_within_the_page_are_no_navigation() -> None:
    contents = "<ul>" + "".join(f'<li><a href="http://a.b/c#{i}">Part {i}</a>' for i in range(12)) + "</ul>"
    page = contents + FILLER * 5
    assert "Part 7" in extract(page, url="http://a.b/c").text
    assert "Part 7" not in extract(page, url="http://a.b/d").text


@pytest.mark.parametrize(
    "tag", ["div", "ul><li", "blockquote", "table><tr><td", "sup", "code", "span class=katex", "pre"]
)
def test_deep_pages_cost_no_more_than_their_length(tag: str) -> None:
    start = time.perf_counter()
    assert "deep" in extract(f"<{tag}>" * 10_000 + "deep").text
    assert time.perf_counter() - start < 10


@given(st.binary(max_size=400))
def test_any_bytes_give_a_text(raw: bytes) -> None:
    extract(raw).text.encode()


TAGS = st.sampled_from(
    [
        "a",
        "p",
        "pre",
        "code",
        "table",
        "tr",
        "td",
        "th",
        "ul",
        "ol",
        "li",
        "dl",
        "dd",
        "sup",
        "sub",
        "math",
        "mfrac",
        "msup",
        "script",
        "textarea",
        "div",
        "nav",
        "br",
        "select",
        "h1",
        "blockquote",
        "frameset",
        "svg",
        "title",
        "head",
    ]
)
MARKUP = st.lists(
    st.one_of(
        TAGS.map("<{}>".format), TAGS.map("</{}>".format), st.text(max_size=8), st.just('<span class="katex MathJax">')
    ),
    max_size=40,
)


@given(MARKUP.map("".join))
def test_any_markup_gives_a_text_without_blank_runs(html: str) -> None:
    text = extract(html).text
    text.encode()
    assert text == text.strip("\n")
    assert not any(char in text for char in "\0\x1f")


def test_real_pages_all_give_text(shared_data: Path) -> None:
    for row in pq.read_table(shared_data / "raw_html.parquet", columns=["id", "html"]).to_pylist()[::10]:
        assert len(extract(row["html"]).text) > 100, row["id"]
