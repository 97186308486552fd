"""What it costs to see a page, by what is looked at, and to score it."""

from generated import classifier, noise, texts
from measure import Case, Row, rows, seconds

from curate.embed import Embedder
from curate.features import features_of, hashed_ngrams, shapes


def run(*, quick: bool) -> list[Row]:
    """Pages of 300 words a second. Only the embedding uses more than one core."""
    few, many = texts(32 if quick else 96), texts(300 if quick else 2000)
    embedder, lexical, full = Embedder(), classifier(), classifier(("embedding", "ngrams", "shape"))
    ready = features_of(many, noise(len(many)))
    cases = [
        Case("hashed n-grams", lambda: len(many) / seconds(lambda: hashed_ngrams(many))),
        Case("shape", lambda: len(many) / seconds(lambda: shapes(many))),
        Case("MiniLM embedding", lambda: len(few) / seconds(lambda: embedder.embed(few)), "256 tokens of a page"),
        Case(
            "classifier of n-grams, from text",
            lambda: len(many) / seconds(lambda: lexical.predict_texts(many)),
        ),
        Case(
            "classifier of all blocks, from features",
            lambda: len(many) / seconds(lambda: full.predict_score(ready)),
            "the features are made beforehand",
        ),
    ]
    return rows("features", cases, unit="pages/s", runs=2 if quick else 5, warm=True)
