"""Which elements of a page are not its content: navigation, notices, share bars, what is hidden.

Careful by design: an element goes only when its tag, role or name says what it is, or when it is a list of links before
or after all prose; never when it holds much of the page, and links within a name's block decide where the name alone
might lie (a restaurant's `menu`, a `sidebar` with prose). Whole branches that hold code or formulas stay.
"""

import re
from dataclasses import dataclass

from curate.extract.markup import Node

HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
TAGS = frozenset(["nav", "button", "select", "dialog", "noscript", "input", "option", "progress", "meter"])
LINKED_TAGS = frozenset(["header", "footer", "aside", "form"])
ROLES = frozenset(
    ["navigation", "search", "dialog", "alertdialog", "menu", "menubar", "toolbar", "tablist", "tooltip", "contentinfo"]
)
NAMES = frozenset(
    [
        "cookie",
        "cookies",
        "consent",
        "gdpr",
        "onetrust",
        "breadcrumb",
        "breadcrumbs",
        "addthis",
        "addtoany",
        "adsbygoogle",
        "skip-link",
        "skiplink",
        "skip-nav",
        "mw-editsection",
        "mw-jump-link",
        "noprint",
        "headerlink",
        "pagination",
        "pager",
        "sr-only",
        "visually-hidden",
        "screen-reader-text",
        "back-to-top",
        "print-only",
        "copy-button",
        "btn-copy",
        "copybtn",
        "clipboard-copy",
        "paywall",
    ]
)
"""Words of classes and ids whose elements go whatever is in them."""
SMALL_NAMES = frozenset(
    [
        "share",
        "sharing",
        "sharebar",
        "sharedaddy",
        "social",
        "newsletter",
        "popup",
        "modal",
        "toast",
        "advert",
        "advertisement",
        "ads",
        "banner-ad",
    ]
)
"""The same, where there is little text, or much of it is links: articles and their comments bear such names, too."""
SMALL = 300
"""Characters outside links that are little text."""
LINKED_NAMES = frozenset(
    [
        "nav",
        "navbar",
        "navigation",
        "navbox",
        "topnav",
        "subnav",
        "menu",
        "submenu",
        "sidebar",
        "footer",
        "header",
        "masthead",
        "related",
        "recommended",
        "recommendations",
        "trending",
        "popular",
        "toolbar",
        "topbar",
        "promo",
        "sponsored",
        "login",
        "signin",
        "tagcloud",
        "widget",
        "copyright",
        "legal",
        "subscribe",
        "blogroll",
        "sitemap",
    ]
)
"""The same, where at least a third of the text is links."""
WORDS = re.compile(r"[a-z]+[0-9]*", re.I)
RIGHTS = re.compile(r"©|copyright|all rights reserved", re.I)
SKIP = re.compile(r"\s*(?:skip|jump) to\b", re.I)
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass
class Page:
    """What is known of the whole page, and how much of its prose (text outside links) has been walked past."""

    size: int
    prose: int
    walked: int = 0

    @classmethod
    def of(cls, root: Node) -> "Page":
        """The page below a root."""
        return cls(root.size, root.size - root.linked)


def hidden(node: Node, page: Page) -> bool:
    """Not shown to a reader. What holds most of a page is shown by a script in the end."""
    attrs = node.attrs
    out = (
        ("hidden" in attrs and attrs["hidden"] != "until-found")
        or attrs.get("aria-hidden") == "true"
        or ("style" in attrs and HIDDEN.search(attrs["style"]) is not None)
    )
    return out and 2 * node.size <= page.size


def boilerplate(node: Node, page: Page) -> bool:
    """Not content, by its tag, its role, its name, or as a list of links around the prose."""
    if node.prized or 2 * node.size > page.size:
        return False
    if node.tag in TAGS or node.attrs.get("role") in ROLES:
        return True
    if node.tag == "a" and node.get("href").startswith("#") and SKIP.match(node.text()):
        return True
    linked = 3 * node.linked >= node.size
    if node.tag in LINKED_TAGS and (linked or (node.tag == "footer" and RIGHTS.search(node.text()))):
        return True
    names = _names(node)
    if names & NAMES or (linked and names & LINKED_NAMES):
        return True
    return ((linked or node.size - node.linked <= SMALL) and bool(names & SMALL_NAMES)) or _around(node, page)


def _names(node: Node) -> set[str]:
    names: set[str] = set()
    for value in (node.attrs.get("class"), node.attrs.get("id")):
        if value:
            whole = value.lower().split()
            names.update(whole)
            names.update(word.lower() for word in WORDS.findall(CAMEL.sub(" ", value)))
    return names


def _around(node: Node, page: Page) -> bool:
    """A list of short links before the first prose or after the last of a page that has prose."""
    if node.links < 8 or 10 * node.linked < 9 * node.size or node.linked > 40 * node.links or page.prose < 1000:
        return False
    return page.walked < 200 or page.walked > page.prose - 200
