"""Vectors that were made once are kept: Parquet parts by embedder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.embed.chunks import Vectors
from curate.embed.embedder import Embedder, OnProgress
from curate.errors import BadInput
from curate.schema import fingerprint
from curate.store import write_parquet

PART_PAGES = 1024
"""Pages per part of the cache: what a crash can cost, and the most that is held before it is written."""


class EmbeddingCache:
    """Vectors by page id, one folder of Parquet parts per embedder id. Several processes may write to it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get_many(
        self,
        page_ids: Sequence[str],
        texts: Sequence[str],
        embedder: Embedder,
        on_progress: OnProgress | None = None,
    ) -> Vectors:
        """Vectors of the pages, in order; those not yet in the cache are embedded and written, part by part.

        `on_progress` counts the distinct pages, the known ones at once. Raises BadInput for a damaged part.
        """
        if len(page_ids) != len(texts):
            raise BadInput(f"embedding cache: got {len(page_ids)} page ids for {len(texts)} texts")
        wanted = dict(zip(page_ids, texts, strict=True))
        vectors = np.zeros((len(wanted), embedder.dimensions), dtype=np.float32)
        row_of = {page: row for row, page in enumerate(wanted)}
        known = self._fill(vectors, row_of, embedder)
        if on_progress and known:
            on_progress(len(known))
        missing = [page for page in wanted if page not in known]
        for start in range(0, len(missing), PART_PAGES):
            pages = missing[start : start + PART_PAGES]
            made = embedder.embed([wanted[page] for page in pages], on_progress)
            self._write(pages, made, embedder.id)
            vectors[[row_of[page] for page in pages]] = made
        return vectors[[row_of[page] for page in page_ids]]

    def _fill(self, vectors: Vectors, row_of: dict[str, int], embedder: Embedder) -> set[str]:
        known: set[str] = set()
        pages = pa.array(list(row_of), pa.string())
        for path in sorted((self.folder / embedder.id).glob("part-*.parquet")):
            table = _read_part(path, embedder.dimensions)
            table = table.filter(pc.is_in(table["page_id"], value_set=pages))
            names = table["page_id"].to_pylist()
            if names:
                flat = table["vector"].combine_chunks().flatten().to_numpy()
                vectors[[row_of[name] for name in names]] = flat.reshape(len(names), -1)
                known.update(names)
        return known

    def _write(self, page_ids: list[str], vectors: Vectors, embedder_id: str) -> None:
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), vectors.shape[1])
        table = pa.table({"page_id": pa.array(page_ids, pa.string()), "vector": column})
        write_parquet(self.folder / embedder_id / f"part-{fingerprint(page_ids)}.parquet", table)


def _read_part(path: Path, dimensions: int) -> pa.Table:
    try:
        table = pq.read_table(path, columns=["page_id", "vector"], partitioning=None)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BadInput(f"{path}: is not a readable part ({str(error).splitlines()[0]}); delete it") from error
    if table.schema.field("vector").type != pa.list_(pa.float32(), dimensions):
        raise BadInput(f"{path}: holds no vectors of length {dimensions}; delete it to embed its pages again")
    return table
