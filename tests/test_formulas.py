import pytest

from curate.extract.formulas import formula, linear, tex_of, written
from curate.extract.markup import Node, parse


def first(html: str) -> Node:
    body = parse(html).find("body")
    assert body is not None
    return next(node for node in body.elements()[0].elements() or body.elements())


def math(inner: str) -> str:
    node = parse(f"<math>{inner}</math>").find("math")
    assert node is not None
    return linear(node)


@pytest.mark.parametrize(
    ("mathml", "tex"),
    [
        ("<mfrac><mn>1</mn><mrow><mn>2</mn><mi>a</mi></mrow></mfrac>", r"\frac{1}{2a}"),
        ("<msup><mi>x</mi><mn>2</mn></msup><mo>+</mo><mn>1</mn>", "x^2 + 1"),
        ("<msubsup><mi>x</mi><mi>i</mi><mn>10</mn></msubsup><mi>y</mi>", "x_i^{10}y"),
        ("<msup><mi>x</mi><mn>2</mn></msup><mi>y</mi>", "x^2 y"),
        ("<msqrt><mi>b</mi><mo>−</mo><mi>c</mi></msqrt>", r"\sqrt{b-c}"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", r"\sqrt[3]{x}"),
        ("<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover>", r"\sum_{i = 1}^n"),
        ("<mi>sin</mi><mo>\u2061</mo><mi>θ</mi>", r"\sin\theta"),
        ("<mi>α</mi><mi>x</mi>", r"\alpha x"),
        ("<mover><mi>x</mi><mo>^</mo></mover>", r"\hat{x}"),
        ("<mfenced><mi>a</mi><mi>b</mi></mfenced>", "(a,b)"),
        ("<mtext>if  so</mtext>", r"\text{if so}"),
        ("<mtable><mtr><mtd><mi>a</mi></mtd><mtd><mi>b</mi></mtd></mtr><mtr><mtd><mi>c</mi></mtd></mtr></mtable>",
         r"\begin{matrix} a & b \\ c \end{matrix}"),
        ("<mfrac><mi>a</mi></mfrac>", r"\frac{a}{}"),
        ("<unknown><mi>a</mi></unknown>", "a"),
        ("", ""),
    ],
)  # fmt: skip
def test_mathml_without_tex_is_written_in_its_manner(mathml: str, tex: str) -> None:
    assert math(mathml) == tex


def test_the_tex_that_a_formula_carries_comes_first() -> None:
    annotated = '<math alttext="b"><semantics><mi>c</mi><annotation encoding="application/x-tex">a</annotation></semantics></math>'
    node = parse(annotated).find("math")
    assert node is not None
    assert tex_of(node) == "a"
    other = parse('<math alttext="b"><mi>c</mi></math>').find("math")
    assert other is not None
    assert tex_of(other) == "b"


def test_written_between_dollars_without_wrapping_comments_or_space() -> None:
    assert written(r" {\displaystyle x^{2}} ", display=False) == "$x^{2}$"
    assert written(r"{\textstyle a}+{b}", display=False) == r"${\textstyle a}+{b}$"
    assert written("a%\n b", display=True) == "$$a b$$"
    assert written(r"5\% off", display=False) == r"$5\% off$"
    assert written("$x$", display=False) == "$x$"
    assert written("  ", display=True) == ""


@pytest.mark.parametrize(
    ("html", "tex"),
    [
        ('<p><script type="math/tex; mode=display">x</script></p>', "$$x$$"),
        ('<p><script type="math/tex">% <![CDATA[\nx %]]></script></p>', "$x$"),
        ('<p><img class="latex" alt="\\pi"></p>', r"$\pi$"),
        ('<p><img src="https://latex.codecogs.com/gif.latex?x" alt="x"></p>', "$x$"),
        ('<p><img class="photo" alt="a cat"></p>', None),
        ('<p><img class="latex"></p>', None),
        ('<p><span class="mwe-math-element"><img class="mwe-math-fallback-image-inline" alt="{\\displaystyle b}"></span></p>', "$b$"),
        ('<p><span class="MathJax"><b>x</b></span></p>', None),
        ('<p><mjx-container display="true"><math><mi>q</mi></math></mjx-container></p>', "$$q$$"),
        ('<p><b class="x">y</b></p>', None),
    ],
)  # fmt: skip
def test_what_is_a_formula(html: str, tex: str | None) -> None:
    assert formula(first(html)) == tex


def test_what_mathjax_draws_is_dropped_where_its_script_stands() -> None:
    assert formula(first('<p><span class="MathJax"><b>x</b></span></p>'), scripted=True) == ""
