"""sample: draw pages from the corpus, in rounds, find which belong together, and seal a test set."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.progress import Progress
from curate.sampling.clusters import Embed
from curate.sampling.designs import Design, Round, Settings, Shares, names
from curate.sampling.portrait import largest_sets, portrait
from curate.sampling.rounds import Drawing, Informative
from curate.schema import PAGES, fingerprint
from curate.sources import Shard, Source
from curate.store import Store, read_json, write_json

__all__ = ["Design", "Informative", "Report", "Round", "Settings", "Shares", "names", "run"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """What was drawn."""

    seen: int
    """Rows with text."""
    drawn: int
    """Pages of all rounds together."""
    probability: float | None
    """Inclusion probability of the pages; None where they differ (see `rounds`)."""
    exact_duplicates: int
    """Rows that repeat a drawn page, word for word; all of them were counted."""
    near_duplicate_pairs: int
    groups: int
    largest_group: int
    splits: dict[str, int]
    skipped: dict[str, int]
    name: str = ""
    """The folder of `pages` in which the sample lies: that of the last round drawn."""
    waiting: str = ""
    """The round that could not be drawn yet, and what for."""
    rounds: tuple[dict[str, Any], ...] = ()
    unreadable_shards: dict[str, str] | None = None
    duplicates: dict[str, Any] | None = None
    portrait: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For the stage's record."""
        return asdict(self)


def run(
    store: Store,
    settings: Settings,
    *,
    source: Source,
    shards: list[Shard],
    name: str,
    progress: Progress,
    prefixes: Sequence[str] = (),
    embed: Embed | None = None,
    informative: Informative | None = None,
) -> Report:
    """Draw the sample and write it as `pages/<name>`, a part for each round.

    `prefixes` are the identities after the earlier rounds (`names(...)[:-1]`); one that is on disk is used as it is,
    byte for byte. A round that is `informative` waits, with all after it, until there is `informative` to ask; the
    report then says so, and `report.name` where the pages of the rounds before it are.

    Raises BadInput when no page has text or meets `where`, or when one group holds nearly all; CurateError when a
    stratum cannot give the share chosen for it.
    """
    designs: list[Settings | Round] = [settings, *settings.rounds]
    known = [*prefixes, name] if prefixes else [*(fingerprint(name, i) for i in range(1, len(designs))), name]
    before, waiting = "", ""
    for number, (design, here) in enumerate(zip(designs, known, strict=True), 1):
        if design.how == "informative" and informative is None:
            waiting = f"round {number} (informative) waits for a classifier: run to distill, then sample again"
            break
        if here == name or not _there(store, here, number):
            drawing = Drawing(settings, design, number, source, shards, progress)
            earlier = store.read("pages", before) if before else PAGES.empty_table()
            table, facts = drawing.draw(earlier, embed, informative)
            _write(store, table, facts, scope=here, before=before)
        before = here
    return _report(store, before, waiting)


def _there(store: Store, scope: str, number: int) -> bool:
    return len(store.parts("pages", scope)) == number and _facts_file(store, scope, number).exists()


def _facts_file(store: Store, scope: str, number: int) -> Path:
    return store.folder("pages", scope) / f"round-{number:05d}.json"


def _write(store: Store, table: pa.Table, facts: dict[str, Any], *, scope: str, before: str) -> None:
    """The earlier rounds' parts as they are, what is known of the new round, and last its part."""
    number = int(facts["round"])
    if before:
        for path in sorted(store.folder("pages", before).glob("round-*.json")):
            store.link(path, store.folder("pages", scope) / path.name)
        for path in store.parts("pages", before):
            store.link(path, store.folder("pages", scope) / path.name)
    write_json(_facts_file(store, scope, number), facts)
    store.append("pages", table, scope=scope, part=f"{number - 1:05d}")


def _report(store: Store, scope: str, waiting: str) -> Report:
    rounds = [read_json(path) for path in sorted(store.folder("pages", scope).glob("round-*.json"))]
    pages: list[Row] = store.read("pages", scope).select(PAGES.names).to_pylist()
    groups = Counter(page["group_id"] for page in pages)
    chances = {page["inclusion_probability"] for page in pages}
    splits = Counter(page["split"] for page in pages)
    repeated = [page for page in pages if page["duplicate_of"]]
    left_out = sum(one["left_out"] for one in rounds)
    return Report(
        seen=rounds[0]["seen"],
        drawn=len(pages),
        probability=next(iter(chances)) if len(chances) == 1 else None,
        exact_duplicates=sum(one["copies_of_drawn_pages"] for one in rounds),
        near_duplicate_pairs=rounds[-1]["near_duplicate_pairs"],
        groups=len(groups),
        largest_group=max(groups.values()),
        splits={split: splits[split] for split in ("train", "val", "test")},
        skipped={**rounds[0]["skipped"], **({"would join two splits": left_out} if left_out else {})},
        name=scope,
        waiting=waiting,
        rounds=tuple(rounds),
        unreadable_shards={shard: why for one in rounds for shard, why in one["unreadable_shards"].items()},
        duplicates={
            "repeated_share_of_rows": rounds[0]["repeated_share"],
            "folded": rounds[-1]["folded_duplicates"],
            "near_duplicates": len(repeated),
            "near_duplicate_share": len(repeated) / len(pages),
            "sets": len({page["duplicate_of"] for page in repeated}),
            "largest": largest_sets(pages),
        },
        portrait=portrait(pages),
    )
