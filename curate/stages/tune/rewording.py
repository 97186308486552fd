"""Instructions that a misjudged page suggests without any model: the raters' words, and the rubric's, worked in."""

import re
from collections.abc import Iterator, Mapping

from curate import judge as judges
from curate.judge import Form, Judge
from curate.schema import Judgment
from curate.stages.tune.labelled import Labelled

PHRASE_WORDS = 12
MOST_PHRASES = 6


def rewordings(judge: Judge, page: Labelled, said: Judgment | None) -> Iterator[str]:
    """Instructions that a misjudged page suggests: with the raters' words on it, with the rubric's words for its level
    (labels may come without notes), and without the answer that misled."""
    if not page.labelled:
        return
    for phrase in [*_phrases(page), *_clauses(judge.levels[page.level])]:
        yield reword(judge, phrase, page)
    if judge.form in judges.WORD_QUESTIONS and said is not None:
        words = judges.kinds(judge.instruction)
        if (words.get(said.reason, 0) in judge.kept) != page.keep:
            yield "\n".join(f"{word}: {level}" for word, level in words.items() if word != said.reason)


def reword(judge: Judge, phrase: str, page: Labelled) -> str:
    """The instruction with one phrase of a rater worked in, on the side where people put the page."""
    match judge.form:
        case "ab":
            good, bad = judges.options(judge.instruction)
            good, bad = (_with_phrase(good, phrase), bad) if page.keep else (good, _with_phrase(bad, phrase))
            return f"high: {good}\nlow: {bad}"
        case "kind" | "does":
            words = judges.kinds(judge.instruction)
            word = _new_word(judge.form, phrase, words)
            return "\n".join(f"{w}: {n}" for w, n in ({**words, word: page.level} if word else words).items())
        case "yesno":
            return f"{judge.instruction} ({'Yes' if page.keep else 'No'} for: {phrase}.)"
        case _:
            return f"{judge.instruction}\nA page like this is a {judge.names[page.level]}: {phrase}."


def _new_word(form: Form, phrase: str, known: Mapping[str, int]) -> str:
    """The longest word of a phrase that is not asked about yet; for `does` a verb in the third person, without its s.
    What follows a "no" or "without" is what the page is not."""
    pattern = r"\b([a-z]{3,12}[^\Wsuio])s\b" if form == "does" else r"\b([a-z]{4,14})\b"
    said = re.split(r"\b(?:no|not|nothing|never|without|nor)\b", phrase.lower(), maxsplit=1)[0]
    return max((w for w in re.findall(pattern, said) if w not in known), key=len, default="")


def _with_phrase(description: str, phrase: str) -> str:
    first, *added = description.split(", or ")
    return ", or ".join([first, *added[-(MOST_PHRASES - 1) :], phrase])


def _phrases(page: Labelled) -> list[str]:
    """The raters' notes on a page, each cut to its first clause."""
    return [clauses[0] for _, _, note in page.said if (clauses := _clauses(note, r"[.;:!?(\n]"))]


def _clauses(text: str, ends: str = r"[.;:!?(\n,]|\bor\b") -> list[str]:
    """The clauses of a text, in lower case, each cut to a few words."""
    clauses = [" ".join(clause.split()[:PHRASE_WORDS]).rstrip(",").lower() for clause in re.split(ends, text)]
    return [clause for clause in clauses if clause]
