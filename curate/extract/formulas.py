"""Formulas of a page as TeX: `$...$` in a line, `$$...$$` on lines of their own.

Pages carry one formula several times: as TeX in an annotation, a script or an `alt`, and as MathML or spans for the eye.
The TeX is taken, once. MathML that comes without TeX is written in TeX's manner by rules of its own.
"""

import re
from collections.abc import Callable

from curate.extract.markup import Node

WRAPPED = re.compile(r"^\{\\(?:display|text|script)style\s*(.*)\}$", re.S)
TEX_IMAGE = re.compile(r"(?:^|\s)(?:latex|tex|mwe-math-\S+|math|math-tex|ee_img|mathimg|LatexImg)(?:\s|$)", re.I)
TEX_SERVICE = re.compile(r"latex\.php\?|latex\.codecogs\.com|/(?:mimetex|mathtex)\.cgi|[?&]cht=tx\b", re.I)
VISUAL = re.compile(r"(?:^|\s)(?:MathJax(?:_\S+)?|katex(?:-display)?|mwe-math-element(?:-\S+)?)(?:\s|$)")
COMMENT = re.compile(r"(?<!\\)%[^\n]*\n")
ENDS_OPEN = re.compile(r"(?:\\[A-Za-z]+|[\^_]\w)$")
LONGEST = 20_000
"""Characters that no formula has: what bears its class and is longer is not searched for one."""
SYMBOLS = {
    **dict(zip("αβγδεζηθικλμνξπρστυφχψω", ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"], strict=True)),
    **dict(zip("ΓΔΘΛΞΠΣΦΨΩ", ["Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega"], strict=True)),
    "ϵ": "epsilon", "ϕ": "phi", "∑": "sum", "∏": "prod", "∫": "int", "∮": "oint", "∂": "partial", "∇": "nabla",
    "∞": "infty", "≤": "le", "≥": "ge", "≠": "ne", "≈": "approx", "≡": "equiv", "∼": "sim", "≃": "simeq", "∝": "propto",
    "→": "to", "←": "leftarrow", "↔": "leftrightarrow", "⇒": "Rightarrow", "⇔": "Leftrightarrow", "↦": "mapsto",
    "×": "times", "⋅": "cdot", "·": "cdot", "±": "pm", "∓": "mp", "÷": "div", "∈": "in", "∉": "notin", "⊂": "subset",
    "⊆": "subseteq", "∪": "cup", "∩": "cap", "∅": "emptyset", "∀": "forall", "∃": "exists", "¬": "neg", "∧": "wedge",
    "∨": "vee", "⊕": "oplus", "⊗": "otimes", "…": "ldots", "⋯": "cdots", "⟨": "langle", "⟩": "rangle", "ℝ": "mathbb{R}",
    "ℤ": "mathbb{Z}", "ℕ": "mathbb{N}", "ℚ": "mathbb{Q}", "ℂ": "mathbb{C}", "ℏ": "hbar", "ℓ": "ell", "†": "dagger",
    "∘": "circ", "∥": "parallel", "⊥": "perp",
}  # fmt: skip
PLAIN = {
    "−": "-",
    "∗": "*",
    "′": "'",
    "″": "''",
    "‖": "\\|",
    "{": "\\{",
    "}": "\\}",
    "%": "\\%",
    "#": "\\#",
    "&": "\\&",
}
INVISIBLE = dict.fromkeys(map(ord, "\u2061\u2062\u2063\u2064\u200b\u200c\u200d\u2060\ufeff"))
NAMES = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "sinh",
        "cosh",
        "tanh",
        "arcsin",
        "arccos",
        "arctan",
        "log",
        "ln",
        "exp",
        "lim",
        "max",
        "min",
        "sup",
        "inf",
        "det",
        "dim",
        "ker",
        "gcd",
        "arg",
    ]
)
ACCENTS = {"^": "hat", "ˆ": "hat", "˜": "tilde", "~": "tilde", "¯": "bar", "‾": "bar", "―": "bar", "→": "vec", "⃗": "vec",
    "˙": "dot", "¨": "ddot", "⏞": "overbrace", "_": "underline", "⏟": "underbrace"}  # fmt: skip


def written(tex: str, *, display: bool) -> str:
    """A formula between its dollars; "" where there is none."""
    tex = " ".join(COMMENT.sub("", tex).split()).strip("$ ")
    if (found := WRAPPED.match(tex)) and _balanced(found[1]):
        tex = found[1].strip()
    if not tex:
        return ""
    return f"$${tex}$$" if display else f"${tex}$"


def _balanced(tex: str) -> bool:
    depth = 0
    for brace in re.findall(r"\\.|[{}]", tex, re.S):
        depth += (brace == "{") - (brace == "}")
        if depth < 0:
            return False
    return True


def formula(node: Node, *, scripted: bool = False) -> str | None:
    """The formula that an element is (see `written`), or None for an element that is none; "" for one that is drawn here
    and stands in a script as well (`scripted`: the page has scripts of TeX)."""
    if node.tag == "math":
        return written(tex_of(node), display=node.get("display") == "block" or node.get("mode") == "display")
    if node.tag == "script":
        return written(_stripped(node.text()), display="mode=display" in node.get("type").replace(" ", ""))
    if node.tag == "img":
        return _image(node)
    if node.size < LONGEST and (node.tag == "mjx-container" or (node.attrs and VISUAL.search(node.get("class")))):
        return _drawn(node, scripted)
    return None


def tex_of(math: Node) -> str:
    """The TeX that a `<math>` carries, else its MathML in TeX's manner."""
    for note in math.all("annotation"):
        if "tex" in note.get("encoding").lower() and note.text().strip():
            return note.text()
    return math.get("alttext") or linear(math)


def linear(node: Node) -> str:
    """MathML in TeX's manner: `\\frac{a}{b}`, `x^2`, `\\sqrt{x}`; unknown elements give what is in them."""
    return " ".join(_joined(node).split())


def _stripped(tex: str) -> str:
    return re.sub(r"^\s*(?:%\s*)?<!\[CDATA\[|(?:%\s*)?\]\]>\s*$", "", tex)


def _image(node: Node) -> str | None:
    alt = node.get("alt").strip()
    if not alt or not (TEX_IMAGE.search(node.get("class")) or TEX_SERVICE.search(node.get("src"))):
        return None
    return written(alt, display="mwe-math-fallback-image-display" in node.get("class"))


def _drawn(node: Node, scripted: bool) -> str | None:
    """KaTeX, MathJax and Wikipedia put MathML or an image beside what they draw, older MathJax a script after it."""
    math, image = node.find("math"), node.find("img")
    if "MathJax" in node.get("class") and scripted:
        script = node.find("script")
        return "" if script is None else formula(script)
    if math is not None:
        return written(tex_of(math), display=_on_its_own(node) or math.get("display") == "block")
    return written(image.get("alt"), display=_on_its_own(node)) if image is not None and image.get("alt") else None


def _on_its_own(node: Node) -> bool:
    return bool(re.search(r"katex-display|MathJax_Display|math-element-block", node.get("class"))) or (
        node.get("display") == "true"
    )


def _joined(node: Node) -> str:
    return _glued([_piece(child) for child in node.elements()]) if node.elements() else _leaf(node.text())


def _glued(pieces: list[str]) -> str:
    """Pieces side by side; a command, an exponent and an index are kept apart from a letter that follows them."""
    out: list[str] = []
    for piece in pieces:
        apart = piece[:1].isalnum() and out and ENDS_OPEN.search(out[-1])
        out += [" ", piece] if apart else [piece] if piece else []
    return "".join(out)


def _piece(node: Node) -> str:
    made = RULES.get(node.tag)
    return made(node) if made else _joined(node)


def _leaf(text: str) -> str:
    text = " ".join(text.split()).translate(INVISIBLE)
    return _glued([f"\\{SYMBOLS[c]}" if c in SYMBOLS else PLAIN.get(c, c) for c in text])


def _name(node: Node) -> str:
    word = " ".join(node.text().split()).translate(INVISIBLE)
    if word in NAMES:
        return f"\\{word}"
    return f"\\mathrm{{{word}}}" if len(word) > 1 and word.isalpha() and word.isascii() else _leaf(word)


def _operator(node: Node) -> str:
    sign = _leaf(node.text())
    return f" {sign} " if sign in {"=", "+", "<", ">"} or (sign.startswith("\\") and sign[1:].isalpha()) else sign


def _words(node: Node) -> str:
    words = " ".join(node.text().split())
    return f"\\text{{{words}}}" if words else ""


def _parts(node: Node, count: int) -> list[str]:
    pieces = [_piece(child).strip() for child in node.elements()]
    return (pieces + [""] * count)[:count]


def _braced(piece: str) -> str:
    return piece if len(piece) == 1 else f"{{{piece}}}"


def _base(piece: str) -> str:
    return f"{{{piece}}}" if re.search(r"[ +=^_]", piece) and not re.fullmatch(r"\\?\(.*\)|\\\w+", piece) else piece


def _scripted(*signs: str) -> Callable[[Node], str]:
    def made(node: Node) -> str:
        base, *rest = _parts(node, len(signs) + 1)
        marks = "".join(f"{sign}{_braced(part)}" for sign, part in zip(signs, rest, strict=True) if part)
        return _base(base) + marks

    return made


def _accented(sign: str) -> Callable[[Node], str]:
    plain = _scripted(sign)

    def made(node: Node) -> str:
        base, mark = _parts(node, 2)
        sign_of = {"\\to": "→", "\\sim": "~"}.get(mark, mark)
        return f"\\{ACCENTS[sign_of]}{{{base}}}" if sign_of in ACCENTS else plain(node)

    return made


def _called(name: str, count: int) -> Callable[[Node], str]:
    return lambda node: f"\\{name}" + "".join(f"{{{part}}}" for part in _parts(node, count))


def _root(node: Node) -> str:
    base, degree = _parts(node, 2)
    return f"\\sqrt[{degree}]{{{base}}}"


def _fenced(node: Node) -> str:
    inner = (node.get("separators") or ",")[:1].join(_piece(child) for child in node.elements())
    return f"{_leaf(node.attrs.get('open', '('))}{inner}{_leaf(node.attrs.get('close', ')'))}"


def _table(node: Node) -> str:
    rows = [" & ".join(_joined(cell).strip() for cell in row.elements()) for row in node.elements()]
    return "\\begin{matrix} " + " \\\\ ".join(rows) + " \\end{matrix}"


def _none(node: Node) -> str:
    return ""


RULES: dict[str, Callable[[Node], str]] = {
    "mi": _name,
    "mo": _operator,
    "mn": lambda node: _leaf(node.text()),
    "mtext": _words,
    "mspace": lambda node: " ",
    "mfrac": _called("frac", 2),
    "msqrt": lambda node: f"\\sqrt{{{_joined(node).strip()}}}",
    "mroot": _root,
    "msup": _scripted("^"),
    "msub": _scripted("_"),
    "msubsup": _scripted("_", "^"),
    "munderover": _scripted("_", "^"),
    "mover": _accented("^"),
    "munder": _accented("_"),
    "mfenced": _fenced,
    "mtable": _table,
    "annotation": _none,
    "annotation-xml": _none,
    "mphantom": _none,
}
