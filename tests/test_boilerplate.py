import pytest

from curate.extract.boilerplate import Page, boilerplate, hidden
from curate.extract.markup import Node, parse

PROSE = "<p>" + "Words of a page that has something to say. " * 40 + "</p>"
LINKS = "".join(f'<a href="/{i}">Link {i}</a> ' for i in range(10))


def judged(html: str) -> tuple[Node, Page]:
    """The element after a page's prose, and the page."""
    root = parse(f"<body>{PROSE}{html}</body>")
    body = root.find("body")
    assert body is not None
    page = Page.of(root)
    page.walked = page.prose // 2
    return body.elements()[1], page


@pytest.mark.parametrize(
    "html",
    [
        "<nav>Home About</nav>",
        "<select><option>a</option></select>",
        '<div role="navigation">Home</div>',
        '<div class="cookie-banner">We use cookies</div>',
        '<div id="cookieConsent">We use cookies</div>',
        f'<div class="sidebar">{LINKS}</div>',
        f"<footer>{LINKS}</footer>",
        "<footer>© 2020 Somebody</footer>",
        '<div class="share-buttons">Tell a friend</div>',
        '<a href="#main">Skip to content</a>',
    ],
)
def test_what_goes(html: str) -> None:
    assert boilerplate(*judged(html))


@pytest.mark.parametrize(
    "html",
    [
        '<div class="menu">' + "Soup of the day with bread. " * 5 + "</div>",
        '<div class="sidebar">A remark beside the text.</div>',
        '<div class="comments"><div class="comment">I agree</div></div>',
        '<div class="cookie-recipe"><pre>bake()</pre></div>',
        '<div class="post share">' + "An article that may be shared. " * 20 + "</div>",
        '<nav class="toc"><math><mi>x</mi></math></nav>',
        f"<ul>{LINKS}</ul>",
        "<header><h1>The title</h1></header>",
    ],
)
def test_what_stays(html: str) -> None:
    assert not boilerplate(*judged(html))


def test_what_holds_most_of_a_page_stays_whatever_its_name() -> None:
    root = parse(f'<div class="cookie-modal">{PROSE}</div>')
    div = root.find("div")
    assert div is not None
    assert not boilerplate(div, Page.of(root))


def test_lists_of_links_go_before_and_after_all_prose() -> None:
    node, page = judged(f"<ul>{LINKS}</ul>")
    page.walked = 0
    assert boilerplate(node, page)
    page.walked = page.prose
    assert boilerplate(node, page)


@pytest.mark.parametrize(
    "attrs", ["hidden", 'style="color:red;display: none"', 'style="visibility:hidden"', 'aria-hidden="true"']
)
def test_hidden_elements(attrs: str) -> None:
    assert hidden(*judged(f"<p {attrs}>x</p>"))


@pytest.mark.parametrize("attrs", ['hidden="until-found"', 'style="display:block"', 'aria-hidden="false"', ""])
def test_shown_elements(attrs: str) -> None:
    assert not hidden(*judged(f"<p {attrs}>x</p>"))


def test_a_page_that_a_script_uncovers_is_no_hidden_one() -> None:
    root = parse(f'<div style="display:none">{PROSE}</div>')
    div = root.find("div")
    assert div is not None
    assert not hidden(div, Page.of(root))
