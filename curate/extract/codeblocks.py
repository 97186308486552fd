"""Code of a page: its lines as they were, indentation kept, line numbers dropped.

It is put between Markdown's fences, as that is how code stands in most text that language models learn from, and the
fence is a sign of code that a rubric can name.
"""

import re

from curate.extract.markup import Node

NUMBERS = frozenset(
    [
        "lineno",
        "linenos",
        "linenodiv",
        "linenumber",
        "line-number",
        "line-numbers-rows",
        "gutter",
        "lnt",
        "ln",
        "blob-num",
        "rouge-gutter",
        "gl",
        "hljs-ln-numbers",
        "react-syntax-highlighter-line-number",
        "crayon-nums",
        "lines-numbers",
        "line-no",
        "lno",
    ]
)
CODE_CELLS = frozenset(["code", "blob-code", "rouge-code", "hljs-ln-code", "crayon-code", "js-file-line"])
CODE_TABLES = frozenset(
    [
        "highlight",
        "highlighttable",
        "rouge-table",
        "hljs-ln",
        "js-file-line-container",
        "crayon-table",
        "lntable",
        "codehilitetable",
    ]
)
CODE_NAMES = frozenset(
    [
        "highlight",
        "codehilite",
        "sourcecode",
        "source-code",
        "hljs",
        "prettyprint",
        "code",
        "codeblock",
        "code-block",
        "programlisting",
        "screen",
        "shiki",
        "syntaxhighlighter",
        "mw-highlight",
        "brush",
        "literal-block",
        "listing",
        "prism",
    ]
)
CODE_TAGS = ("code", "samp", "kbd")
LANGUAGE = re.compile(
    r"(?:^|\s)(?:language-|lang-|highlight-(?:source-|text-)?|brush:\s*|sourceCode\s+|src-)([A-Za-z][\w+#.-]*)"
)
NOT_LANGUAGES = frozenset(["none", "plaintext", "text", "default", "source", "highlighter", "notranslate", "rouge"])
ROWS = frozenset(["div", "p", "li", "tr", "table"])
CODE_LINE = re.compile(
    r"[;{}]\s*$|^\s*(?:#include|import |from \S+ import|def |class |return\b|if\s*\(|for\s*\(|while\s*\(|\$ |>>> |</?\w+)"
    r"|\w\([^)]*\)\s*[;:{]?\s*$|(?<![<>=!])(?:[:+*/-]?=|->|=>)(?!=)\s*\S"
)


def names_of(node: Node) -> set[str]:
    """The classes of an element, in lower case."""
    return set(node.get("class").lower().split())


def fenced(lines: str, language: str = "") -> str:
    """Code between fences longer than any run of backticks in it; "" for none."""
    lines = "\n".join(line.rstrip() for line in lines.expandtabs(4).splitlines()).strip("\n")
    if not lines.strip():
        return ""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", lines)), default=0))
    return f"{fence}{language}\n{lines}\n{fence}"


def lines_of(node: Node) -> str:
    """The text of an element with its line breaks: as written, at `<br>`, and after elements that are rows of code."""
    out: list[str] = []
    _lines(node, out)
    return "".join(out)


def _lines(node: Node, out: list[str]) -> None:
    for child in node.children:
        if isinstance(child, str):
            out.append(child)
        elif child.tag == "br":
            out.append("\n")
        elif not numbering(child):
            _lines(child, out)
            if child.tag in ROWS and out and not out[-1].endswith("\n"):
                out.append("\n")


def numbering(node: Node) -> bool:
    """Line numbers, or the buttons beside code."""
    return node.tag in ("button", "input") or bool(names_of(node) & NUMBERS)


def code_table(node: Node) -> bool:
    """A table of lines of code: named so, or with cells that are."""
    if names_of(node) & CODE_TABLES:
        return True
    row = node.find("tr")
    cells = row.elements() if row is not None else []
    return len(cells) == 2 and numbering(cells[0]) and bool(names_of(cells[1]) & CODE_CELLS)


def table_lines(node: Node) -> str:
    """The code of such a table: one cell with all lines, or a row for each."""
    rows = []
    for row in node.all("tr"):
        cells = [cell for cell in row.elements() if cell.tag in ("td", "th") and not numbering(cell)]
        rows.append("".join(lines_of(cell).strip("\n") for cell in cells))
    return "\n".join(rows)


def language_of(node: Node) -> str:
    """The language that an element, or the code in it, is marked with; "" for none."""
    inner = node.find("code")
    for each in (node, inner):
        if each is not None:
            found = LANGUAGE.search(each.get("class")) or LANGUAGE.search(f"language-{each.get('data-lang') or '-'}")
            if found and found[1].lower() not in NOT_LANGUAGES:
                return found[1].lower()
    return ""


def marked(node: Node) -> bool:
    """An element that its author marked as code."""
    names = names_of(node)
    return bool(names & CODE_NAMES) or bool(LANGUAGE.search(node.get("class")))


def looks_like_code(lines: str) -> bool:
    """At least a third of the lines end or begin as code does: old pages set letters and tables in `<pre>`, too."""
    filled = [line[:200].rstrip() for line in lines[:20000].splitlines() if line.strip()]
    return bool(filled) and 3 * sum(bool(CODE_LINE.search(line)) for line in filled) >= len(filled)
