"""A page's text from its HTML: its content with code, formulas, tables and lists as they were meant, and little else.

Two kept libraries do this for language-model corpora, and neither keeps what a search for STEM and code pages lives on, so
the text is written here. On 367 messy pages, one core, Python 3.11: 260 pages/s (Resiliparse 2.0.1's main content 1,060,
trafilatura 2.3.1 73-100). Of the pages written for the tests 10 of 10 keep their code line by line (7 and 0) and 11 of 11
give each formula once as TeX (5 and 6). Classes of 3,294 department pages by TF-IDF from the text, 5 folds: AUC .942
(.918 and .927; everything visible: .940).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from curate.extract.boilerplate import LINKED_TAGS, TAGS, Page, boilerplate, hidden
from curate.extract.codeblocks import (
    CODE_TAGS,
    code_table,
    fenced,
    language_of,
    lines_of,
    looks_like_code,
    marked,
    table_lines,
)
from curate.extract.formulas import formula
from curate.extract.markup import Node, decode, parse

BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "body",
        "center",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "frameset",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hgroup",
        "html",
        "legend",
        "main",
        "nav",
        "noframes",
        "optgroup",
        "option",
        "p",
        "search",
        "section",
        "summary",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "caption",
    ]
)
APART = frozenset(
    [
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "ul",
        "ol",
        "dl",
        "table",
        "pre",
        "blockquote",
        "figure",
        "hr",
        "article",
        "section",
        "details",
    ]
)
"""Blocks with a blank line around them."""
LISTS = frozenset(["ul", "ol", "dl", "menu", "dir"])
TELLING = TAGS | LINKED_TAGS
"""Elements that may be boilerplate by their tag."""
UNREAD = frozenset(["head", "title", "noscript", "noframes"])
NOT_IN_CODE = ("p", "table", "ul", "ol", "dl", "h1", "h2", "h3", "h4", "pre", "form", "blockquote")
SIGNS = frozenset("+-−±(")
"""What an exponent may begin with, beside letters and digits."""
LITTLE = 200
"""Characters under which so much may have been taken for boilerplate that everything shown is given."""
INDENTS = 8
"""Lists and quotes within each other that are still indented; deeper ones are not, so that lines stay short."""
TITLE_CHARS = 500
ORDINAL = re.compile(r"^(?:st|nd|rd|th|er|ère|re|e|ème|o|a|º|ª|tm|sm|™|®|©|\(r\)|\(tm\))$", re.I)
ELEMENT_BEFORE = re.compile(r"(?:^|[^a-z])(?:(?:[A-Z][a-z]?\d*)+|[)\]])$")
SPACE = re.compile(r"[^\S\n]+")
SOFT = dict.fromkeys(map(ord, "\u200b\ufeff\u00ad\u2060"))
BREAK = "\x1f"
"""Stands for `<br>` until a line's white space is collapsed; no page can hold it (see `markup.NOT_TEXT`)."""


@dataclass(frozen=True)
class Extracted:
    """The text of a page. `lang` is as the page declares it; `why` says what is wrong where there is no text."""

    text: str
    title: str = ""
    lang: str = ""
    why: str = ""


def extract(html: str | bytes, *, charset: str = "", url: str = "") -> Extracted:
    """The text of an HTML page, whatever its bytes are. Never raises for bad HTML.

    `charset` is that of the HTTP header; by `url`, links within the page are told from links to others. What is taken for boilerplate goes, but a page that is nothing else keeps its text: that is what it is to be judged by.
    """
    root = parse(html if isinstance(html, str) else decode(html, charset), url=url)
    title, lang = _head(root)
    for keep in (False, True):
        text = _written(root, keep)
        if len(text) >= LITTLE:
            break
    text = text or _frames(root)
    return Extracted(text, title, lang, "" if text else "no text" if root.children else "empty")


def _head(root: Node) -> tuple[str, str]:
    top, title = root.find("html"), root.find("title")
    lang = (top.get("lang") or top.get("xml:lang")) if top is not None else ""
    return _flat(title.text())[:TITLE_CHARS] if title is not None else "", lang.strip()[:35]


def _frames(root: Node) -> str:
    """What a frameset, or a page made by scripts, says to those who see neither."""
    inside = [node.text() for node in root.all("noframes", "noscript")]
    return "\n\n".join(filter(None, (_written(parse(text), True) for text in inside)))


def _written(root: Node, keep: bool) -> str:
    out = _Out()
    _Writer(root, keep).walk(root, out)
    return out.text()


def _flat(text: str) -> str:
    return " ".join(text.translate(SOFT).split())


class _Out:
    """Lines so far, and the words of the line at hand."""

    def __init__(self, depth: int = 0) -> None:
        self.lines: list[str] = []
        self.words: list[str] = []
        self.apart = False
        self.depth = depth

    def end(self, *, apart: bool = False) -> None:
        """End the line at hand; `apart`: with a blank line before what follows."""
        if self.words:
            for line in "".join(self.words).split(BREAK):
                self.add(_flat(line))
            self.words = []
        self.apart |= apart

    def add(self, line: str) -> None:
        """One line, or a block of lines, as it is; nothing for an empty one."""
        if line:
            if self.apart and self.lines:
                self.lines.append("")
            self.apart = False
            self.lines.append(line)

    def take(self, inner: "_Out", first: str, others: str) -> None:
        """The lines of `inner`, with a mark before the first and an indent before the others."""
        inner.end()
        mark = first
        for line in "\n".join(inner.lines).split("\n") if inner.lines else []:
            if not line and not others.strip():
                self.lines.append("")
                continue
            self.add((mark + line).rstrip())
            mark = others

    def text(self) -> str:
        self.end()
        return "\n".join(self.lines).strip("\n")


class _Writer:
    """Walks a page's tree. `keep`: boilerplate as well."""

    def __init__(self, root: Node, keep: bool) -> None:
        self.page = Page.of(root)
        self.keep = keep
        self.scripted = root.find("script") is not None
        self.code: set[str] = set()
        self.language: str | None = None

    def walk(self, node: Node, out: _Out) -> None:
        """What is in an element."""
        for child in node.children:
            if isinstance(child, str):
                out.words.append(child)
                self.page.walked += len(child)
            else:
                self.element(child, out)

    def element(self, node: Node, out: _Out) -> None:
        """An element, if it is to be seen."""
        walked = self.page.walked
        tex = formula(node, scripted=self.scripted)
        if tex is not None:
            out.words.append(f"{BREAK}{tex}{BREAK}" if tex.startswith("$$") else tex)
        elif not self.passed_over(node):
            HOW.get(node.tag, _inline)(self, node, out)
        self.page.walked = walked + node.size - node.linked

    def passed_over(self, node: Node) -> bool:
        """Hidden, or boilerplate that is not to be kept."""
        if node.tag in UNREAD:
            return True
        if not node.attrs and node.links < 8 and node.tag not in TELLING:
            return False
        return hidden(node, self.page) or (not self.keep and boilerplate(node, self.page))

    def inner(self, node: Node, out: _Out, *, deeper: int = 0) -> _Out:
        """The lines of an element by themselves."""
        within = _Out(out.depth + deeper)
        self.walk(node, within)
        within.end()
        return within


def _inline(writer: _Writer, node: Node, out: _Out) -> None:
    writer.walk(node, out)


def _block(writer: _Writer, node: Node, out: _Out) -> None:
    apart = node.tag in APART and not (node.tag in LISTS and out.depth)
    out.end(apart=apart)
    language = writer.language
    if node.attrs and marked(node):
        writer.language = language_of(node) or language or ""
    writer.walk(node, out)
    writer.language = language
    out.end(apart=apart)


def _break(writer: _Writer, node: Node, out: _Out) -> None:
    out.words.append(BREAK)
    writer.walk(node, out)


def _rule(writer: _Writer, node: Node, out: _Out) -> None:
    out.end(apart=True)


def _quoted(writer: _Writer, node: Node, out: _Out) -> None:
    out.words.append('"')
    writer.walk(node, out)
    out.words.append('"')


def _list(writer: _Writer, node: Node, out: _Out) -> None:
    """Items with their marks; numbers count from `start`, and from `value` where an item has one."""
    out.end(apart=not out.depth)
    number = _number(node.get("start"), 1)
    for child in node.children:
        if isinstance(child, str) or child.tag != "li":
            writer.walk(Node("", {}, [child]), out)
        elif not writer.passed_over(child):
            number = _number(child.get("value"), number)
            _item(writer, child, out, f"{number}. " if node.tag == "ol" else "- ")
            number += 1
    out.end(apart=not out.depth)


def _number(text: str, otherwise: int) -> int:
    return int(text) if re.fullmatch(r"-?[0-9]{1,6}", text.strip()) else otherwise


def _item(writer: _Writer, node: Node, out: _Out, mark: str) -> None:
    if out.depth >= INDENTS:
        out.end()
        writer.walk(node, out)
        out.end()
        return
    out.end()
    out.take(writer.inner(node, out, deeper=1), mark, " " * len(mark))


def _lone_item(writer: _Writer, node: Node, out: _Out) -> None:
    _item(writer, node, out, "- ")


def _definition(writer: _Writer, node: Node, out: _Out) -> None:
    _item(writer, node, out, ": ")


def _quote(writer: _Writer, node: Node, out: _Out) -> None:
    out.end(apart=True)
    if out.depth >= INDENTS:
        writer.walk(node, out)
    else:
        out.take(writer.inner(node, out, deeper=1), "> ", "> ")
    out.end(apart=True)


def _pre(writer: _Writer, node: Node, out: _Out) -> None:
    table = node.find("table")
    if table is not None and code_table(table):
        _put_code(writer, table_lines(table), language_of(node) or writer.language or "", out)
        return
    if node.find(*NOT_IN_CODE) is not None:
        _block(writer, node, out)
        return
    lines = lines_of(node)
    code = writer.language is not None or marked(node) or node.find(*CODE_TAGS) is not None or looks_like_code(lines)
    if code:
        _put_code(writer, lines, language_of(node) or writer.language or "", out)
    else:
        out.end(apart=True)
        out.add("\n".join(line.rstrip() for line in lines.expandtabs().splitlines()).strip("\n"))
        out.end(apart=True)


def _put_code(writer: _Writer, lines: str, language: str, out: _Out) -> None:
    writer.code.add("".join(lines.split()))
    out.end(apart=True)
    out.add(fenced(lines.translate(SOFT), language))
    out.end(apart=True)


def _code(writer: _Writer, node: Node, out: _Out) -> None:
    """In a line, between backticks; on lines of its own where it is several."""
    lines = lines_of(node)
    if "\n" in lines.strip() and (node.find("br", "div") is not None or looks_like_code(lines)):
        _put_code(writer, lines, language_of(node), out)
    elif text := _flat(lines):
        out.words.append(lines[:1] if lines[:1].isspace() else "")
        out.words.append(text if "`" in text else f"`{text}`")
        out.words.append(lines[-1:] if lines[-1:].isspace() else "")


def _textarea(writer: _Writer, node: Node, out: _Out) -> None:
    """Code, as tutorials give it to copy: not where it stands in the page as well, and not what a form asks for."""
    lines = lines_of(node)
    if "\n" in lines.strip() and "".join(lines.split()) not in writer.code and looks_like_code(lines):
        _put_code(writer, lines, "", out)


def _raised(writer: _Writer, node: Node, out: _Out) -> None:
    """`x^2`; but the end of an ordinal, a note's mark and small print as they are."""
    text = _flat("\n".join(writer.inner(node, out).lines))
    plain = (
        len(text) > 20
        or ORDINAL.match(text)
        or node.find("a") is not None
        or (not text[:1].isalnum() and text[:1] not in SIGNS)
    )
    out.words.append(text if plain else f"^{_braced(text)}")


def _lowered(writer: _Writer, node: Node, out: _Out) -> None:
    """`x_i`; but the numbers of a chemical formula as they are written in running text: `H2O`."""
    text = _flat("\n".join(writer.inner(node, out).lines))
    chemical = text.isdigit() and ELEMENT_BEFORE.search("".join(out.words[-6:]))
    out.words.append(text if not text or chemical or len(text) > 20 else f"_{_braced(text)}")


def _braced(text: str) -> str:
    return text if len(text) == 1 else f"{{{text}}}"


def _table(writer: _Writer, node: Node, out: _Out) -> None:
    if code_table(node):
        _put_code(writer, table_lines(node), language_of(node) or writer.language or "", out)
        return
    rows = [[cell for cell in row.elements() if cell.tag in ("td", "th")] for row in node.all("tr")]
    if "ltx_eqn" not in node.get("class") and not _of_data(node, rows):
        _block(writer, node, out)
        return
    out.end(apart=True)
    for caption in node.all("caption"):
        _block(writer, caption, out)
    for row in rows:
        cells = [_flat(" ".join(writer.inner(cell, out).lines)) for cell in row if not writer.passed_over(cell)]
        out.add((" " if "ltx_eqn" in node.get("class") else " | ").join(cells).strip() if any(cells) else "")
    out.end(apart=True)


def _of_data(node: Node, rows: list[list[Node]]) -> bool:
    """A table of data, not one that lays out a page: cells are many and short, or there are headers; none nests blocks."""
    if (
        node.get("role") == "presentation"
        or node.find("table", "pre", "h1", "h2", "h3", "form", "blockquote") is not None
    ):
        return False
    filled = [row for row in rows if row]
    cells = [cell for row in filled for cell in row]
    if not cells or max(map(len, filled)) < 2:
        return False
    longest = 400 if any(cell.tag == "th" for cell in cells) else 80
    return sum(cell.size for cell in cells) <= longest * len(cells) and (len(filled) > 1 or longest == 400)


How = Callable[[_Writer, Node, _Out], None]
HOW: dict[str, How] = {
    **dict.fromkeys(BLOCKS, _block),
    **dict.fromkeys(("ul", "ol", "menu", "dir"), _list),
    "li": _lone_item,
    "dd": _definition,
    "br": _break,
    "hr": _rule,
    "q": _quoted,
    "blockquote": _quote,
    "pre": _pre,
    "listing": _pre,
    "xmp": _pre,
    "code": _code,
    "textarea": _textarea,
    "sup": _raised,
    "sub": _lowered,
    "table": _table,
}
