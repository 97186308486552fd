"""Commands that look and change nothing: the pages that were drawn, with what people, the judge and the classifier said."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import BadInput

if TYPE_CHECKING:
    from curate.pipeline import Work

START_CHARS = 160
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
SHOWN = (
    "page_id",
    "split",
    "round",
    "lang",
    "host",
    "url",
    "title",
    "chars",
    "human",
    "judge",
    "score",
    "keep",
    "start",
)


def pages_of(
    work: "Work", *, where: str, limit: int | None, columns: Sequence[str] = (), order: str = "", text: bool = False
) -> Any:
    """The drawn pages as a table, in a fixed random order. Beside the columns of `pages` stand `chars`, `start` (of the
    text), `labels` (how many), `human` (mean level), `judge` (level by the tuned judge), `expected`, and the classifier's
    `score`, `tier` and `keep`.

    Raises BadInput with DuckDB's words for a condition or column that it does not know.
    """
    tuned = work.record("tune")["report"]["tuned_id"] if "tune" in work.records else ""
    chosen = list(columns) or [*SHOWN[:-1], "text" if text else "start"]
    query = f"""
        WITH said AS (
               SELECT page_id, rater, level,
                      row_number() OVER (PARTITION BY page_id, rater ORDER BY "at" DESC, label_id DESC) AS back
               FROM labels),
             people AS (
               SELECT page_id, count(*) AS labels, avg(level) AS human
               FROM said WHERE back = 1 AND level IS NOT NULL GROUP BY page_id),
             judged AS (
               SELECT page_id, level AS judge, expected FROM judgments WHERE judge_id = ? AND status = 'ok'),
             decided AS (
               SELECT page_id, max(score) AS score, max(tier) AS tier, bool_or(keep) AS keep
               FROM decisions GROUP BY page_id),
             seen AS (
               SELECT pages.*, length("text") AS chars, left("text", {START_CHARS}) AS start,
                      coalesce(labels, 0) AS labels, human, judge, expected, score, tier, keep
               FROM pages LEFT JOIN people USING (page_id) LEFT JOIN judged USING (page_id)
                    LEFT JOIN decided USING (page_id))
        SELECT {", ".join(_quoted(name) for name in chosen)} FROM seen
        WHERE ({where or "true"})
        ORDER BY {order or "md5(page_id)"} {f"LIMIT {limit}" if limit else ""}
    """
    return work.store.sql(query, [tuned], scopes=work.scopes())


def cards(rows: Sequence[Mapping[str, Any]], *, whole: bool = False) -> str:
    """The pages as text to read: what is known of each in a line or two, then how it begins (or all of it)."""
    shown = [_card(row, whole) for row in rows]
    return "\n\n".join([*shown, f"{len(rows):,} page{'' if len(rows) == 1 else 's'}"])


def _card(row: Mapping[str, Any], whole: bool) -> str:
    from textwrap import fill, indent

    where = [row["page_id"], row["split"], row["lang"], row["url"] or row["host"], f"{row['chars']:,} characters"]
    said = [f"round {row['round']}"] if (row["round"] or 1) > 1 else []
    said += [f"people {row['human']:g}"] if row["human"] is not None else []
    said += [f"judge {row['judge']}"] if row["judge"] is not None else []
    if row["score"] is not None:
        said.append(f"classifier {row['score']:.2f}, {'kept' if row['keep'] else 'dropped'}")
    text = row["text"]
    if not whole:
        text = fill(" ".join(text.split())[: 2 * START_CHARS], 100, break_on_hyphens=False)
    lines = ["  ".join(words for words in where if words), "  ".join(said), row["title"] or "", text]
    return plain(lines[0] + "".join("\n" + indent(line, "  ") for line in lines[1:] if line))


def plain(text: str) -> str:
    """Text for a terminal: without the control characters by which a page could move the cursor or change its colours."""
    return CONTROL.sub("", text)


def sample_text(report: Mapping[str, Any]) -> str:
    """What a sample is made of, for the terminal."""
    drawn, portrait, twins = report["drawn"], report["portrait"], report["duplicates"]
    lines = [
        ("language", _counted(portrait["languages"], drawn)),
        ("length", _lengths(portrait["lengths"]["quantiles"])),
        ("hosts", _hosts(portrait["hosts"])),
        ("strata", _strata(report["rounds"])),
        ("left out", ", ".join(f"{n:,} {why}" for why, n in report["skipped"].items())),
        ("shards", "; ".join(f"{name} was left out ({why})" for name, why in report["unreadable_shards"].items())),
        ("repeats", _repeats(twins)),
    ]
    shown = [f"  {name:9} {words}" for name, words in lines if words]
    for one in twins["largest"][:3]:
        shown.append(
            f"  {'':9} {one['pages']} alike on {', '.join(h or 'no host' for h in one['hosts'])}: {one['excerpt'][:80]}"
        )
    return plain("\n".join(shown))


def _counted(counts: Mapping[str, int], of: int, most: int = 6) -> str:
    shown = [f"{name or 'unknown'} {n / of:.0%}" if of else f"{name or 'none'} {n:,}" for name, n in counts.items()]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


def _hosts(hosts: Mapping[str, Any]) -> str:
    """ "" where no page has a URL."""
    if not any(hosts["top"]):
        return ""
    return f"{hosts['different']:,} different; most pages: {_counted(hosts['top'], 0, 4)}"


def _lengths(quantiles: Mapping[str, int]) -> str:
    if not quantiles:
        return ""
    return f"median {quantiles['50%']:,} characters (5 %: {quantiles['5%']:,}, 95 %: {quantiles['95%']:,})"


def _strata(rounds: Sequence[Mapping[str, Any]]) -> str:
    """Of the first round; "" where all pages are one stratum."""
    strata = rounds[0]["strata"]
    if len(strata) < 2:
        return ""
    shown = [f"{s['name'] or 'none'} {s['drawn']:,} of about {s['pages']:,.0f}" for s in strata[:8]]
    return ", ".join(shown) + (f" and {len(strata) - 8} more" if len(strata) > 8 else "")


def _repeats(twins: Mapping[str, Any]) -> str:
    near = f"{twins['near_duplicates']:,} near-duplicates in {twins['sets']:,} sets" if twins["sets"] else "none alike"
    return f"{twins['repeated_share_of_rows']:.1%} of rows repeat another word for word; among those drawn {near}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def sampled(pipeline: Path, overrides: Sequence[str] = (), route: str = "") -> "Work":
    """The work of a pipeline whose sample is drawn. Raises BadInput where it is not."""
    from curate import pipeline as pipelines
    from curate.config import open_pipeline

    work = pipelines.fresh_records(open_pipeline(pipeline, overrides, route=route))
    if "sample" not in work.records:
        raise BadInput(f"{pipeline}: no pages are drawn yet; run `curate run {pipeline} --until sample`")
    return work
