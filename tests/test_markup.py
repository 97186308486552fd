import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.extract.markup import DEEPEST, Node, decode, parse


@pytest.mark.parametrize(
    ("raw", "charset", "text"),
    [
        ("\ufeffé".encode(), "latin-1", "é"),
        ("é".encode("utf-16"), "", "é"),
        ("é".encode(), "iso-8859-1", "é"),
        ("é “x”".encode("cp1252"), "iso-8859-1", "é “x”"),
        ("日本語のページ".encode("shift_jis"), "Shift_JIS", "日本語のページ"),
        ("日本語のページ".encode("shift_jis"), "utf-8", "日本語のページ"),
        ("日本語のページ".encode("iso-2022-jp"), "iso-2022-jp", "日本語のページ"),
        (b"plain", "no-such-charset", "plain"),
        (b"", "utf-8", ""),
    ],
)
def test_characters_by_mark_utf8_header_or_guess(raw: bytes, charset: str, text: str) -> None:
    assert decode(raw, charset) == text


def test_characters_by_meta_in_both_forms() -> None:
    for meta in ('<meta charset="koi8-r">', '<meta http-equiv=Content-Type content="text/html; charset=koi8-r">'):
        assert decode((meta + "<p>привет").encode("koi8-r")).endswith("привет")


@given(st.binary(max_size=300), st.text(max_size=12))
def test_any_bytes_under_any_name_give_characters(raw: bytes, charset: str) -> None:
    assert isinstance(decode(raw, charset), str)


def test_sizes_and_links_are_counted_on_the_way_up() -> None:
    root = parse('<div>four<a href="/x">link</a><a href="#n">note</a></div><p>!</p>')
    div = root.find("div")
    assert div is not None
    assert (div.size, div.linked, div.links) == (12, 4, 1)
    assert (root.size, root.linked) == (13, 4)


def test_a_link_within_the_page_is_known_by_its_url() -> None:
    html = '<a href="http://a.b/c#d">x</a>'
    assert parse(html, url="http://a.b/c").linked == 0
    assert parse(html, url="http://a.b/other").linked == 1


def test_scripts_are_left_out_but_not_their_tex() -> None:
    assert parse("<script>var a</script><style>p{}</style><p>t</p>").text() == "t"
    assert parse('<script type="math/tex">x^2</script>').text() == "x^2"
    assert parse('<script type="math/tex">x^2</script>').prized


def test_deep_pages_keep_their_text_in_a_shallow_tree() -> None:
    root = parse("<p>start</p>" + "<div>" * 20_000 + "deep" + "</div>" * 20_000 + "<p>end</p>")
    assert "".join(root.text().split()) == "startdeepend"
    assert _depth(root) <= DEEPEST


def _depth(node: Node) -> int:
    return 1 + max((_depth(child) for child in node.elements()), default=0)


@given(st.text(max_size=200))
def test_any_text_is_parsed(html: str) -> None:
    root = parse(html)
    assert root.size <= len(root.text())
