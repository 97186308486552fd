"""Filtering a corpus of several shards with a classifier of n-grams: scoring, deciding anew, and having nothing to do."""

import shutil
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from generated import classifier, texts
from measure import Case, Row, rows, seconds

from curate.config import Opened, open_pipeline
from curate.embed import DEFAULT_MODEL
from curate.pipeline import Work
from curate.progress import Quiet
from curate.stages import filter as filters
from curate.store import Store

RUBRIC = Path(__file__).parents[2] / "rubrics" / "stem.md"


def run(*, quick: bool) -> list[Row]:
    """Pages a second, from the shards on disk to the kept shards on disk."""
    shards, pages = (4, 250) if quick else (8, 5000)
    with TemporaryDirectory() as folder:
        corpus = _Corpus(Path(folder), shards, pages)
        where = f"{shards} shards of {pages:,} pages"
        cases = [
            Case("from scratch, 1 worker", lambda: corpus.anew(workers=1), where),
            Case("from scratch, 2 workers", lambda: corpus.anew(workers=2), f"{where}, the workers' start included"),
            Case("a new threshold", corpus.new_threshold, "nothing is scored, decisions and kept shards are written"),
            Case("nothing to do", corpus.nothing, "the pipeline is opened, the corpus hashed, the record found"),
        ]
        return rows("filter", cases, unit="pages/s", runs=1 if quick else 3)


class _Corpus:
    """Shards of generated pages, a trained classifier, and a workspace in which everything is scored."""

    def __init__(self, folder: Path, shards: int, pages: int) -> None:
        self.folder, self.pages, self.fresh = folder, shards * pages, count()
        self.trained = folder / "trained"
        self.classifier_id = _train(self.trained)
        (folder / "corpus").mkdir()
        for number in range(shards):
            table = pa.table({"text": texts(pages, first=1000 + number * pages)})
            pq.write_table(table, folder / "corpus" / f"shard-{number}.parquet")
        self.file = folder / "bench.yaml"
        self.file.write_text(f"name: bench\nrubric: {RUBRIC}\nworkspace: done\nsource: {{path: corpus/*.parquet}}\n")
        self.done = self._workspace("done")
        self._filter(self.done, "first", workers=1)
        work, name = self._found()
        work.store.write_record("filter", name, {"fingerprint": name})

    def anew(self, *, workers: int) -> float:
        """In a workspace that has the classifier and nothing else."""
        store = self._workspace(f"new-{next(self.fresh)}")
        took = seconds(lambda: self._filter(store, "first", workers=workers))
        shutil.rmtree(store.root)
        return self.pages / took

    def new_threshold(self) -> float:
        """In the workspace where every page has its score."""
        number = next(self.fresh)
        aim = f"threshold={0.3 + 0.001 * number:.3f}"
        return self.pages / seconds(lambda: self._filter(self.done, f"aim-{number}", workers=1, aim=aim))

    def nothing(self) -> float:
        """What `curate run` does about a filter that is fresh."""
        return self.pages / seconds(lambda: self._found(wanted=True))

    def _found(self, *, wanted: bool = False) -> tuple[Work, str]:
        work = Work(open_pipeline(self.file), Quiet())
        work.records["distill"] = {"report": {"classifier_id": self.classifier_id}}
        name, record = work.find("filter")
        assert (record is not None) is wanted
        return work, name

    def _workspace(self, name: str) -> Store:
        shutil.copytree(self.trained, self.folder / name)
        return Store(self.folder / name)

    def _filter(self, store: Store, name: str, *, workers: int, aim: str = "f1") -> None:
        opened: Opened = open_pipeline(self.file)
        report = filters.run(
            store,
            filters.Settings(workers=workers, aim=aim),
            source=opened.corpus[0],
            shards=opened.corpus[1],
            classifier_id=self.classifier_id,
            embedder=DEFAULT_MODEL,
            max_tokens=256,
            name=name,
            progress=Quiet(),
        )
        assert report.pages == self.pages
        assert 0 < report.kept < report.pages


def _train(root: Path) -> str:
    """A classifier in a workspace, with the held-out predictions a threshold is chosen on; gives its id."""
    trained = classifier()
    trained.save(root / "classifiers" / trained.id)
    probability = trained.probability_of(trained.predict_texts(texts(200, first=900_000)))
    held = pa.table({"probability": probability, "keep": np.arange(200) % 2 == 1})
    pq.write_table(held, root / "classifiers" / f"{trained.id}.held_out.parquet")
    return trained.id
