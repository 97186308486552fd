"""The README.md beside a saved classifier: what it is, where it came from, how to use it."""

from collections.abc import Mapping, Sequence
from typing import Any


def card(record: Mapping[str, Any]) -> str:
    """Markdown with front matter as model hubs read it, from the record of a classifier."""
    made = record["provenance"]
    lines = [
        "---",
        "library_name: curate",
        "tags: [text-classification, data-curation, pretraining-data]",
        "---",
        f"# Page classifier {record['id'][:8]}",
        "",
        "Scores a web page by whether people would keep it, under one rubric. Made with `curate`.",
        "",
        "| | |",
        "|---|---|",
        *[f"| {key.replace('_', ' ')} | {_cell(value)} |" for key, value in made.items()],
        f"| features | {', '.join(record['settings']['features'])} |",
        f"| calibration | {_calibration(record['calibration'])} |",
        f"| threshold | {_threshold(record['threshold'])} |",
        *([f"| also says | {_outputs(record['outputs'])} |"] if record.get("outputs") else []),
        "",
        "```python",
        "import curate",
        "",
        'probability = curate.load_classifier("this folder").score(["text of a page"])',
        "```",
        "",
        *_embedder(record),
        "The weights are plain arrays: loading this folder runs no code of it, and a changed file is refused.",
    ]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _calibration(calibration: Mapping[str, Any] | None) -> str:
    return f"{calibration['method']}, on {calibration['n']} human labels" if calibration else "none: scores only"


def _threshold(threshold: Mapping[str, Any] | None) -> str:
    return f"{threshold['value']:.3f} ({threshold['aim']})" if threshold else "none in this folder"


def _outputs(outputs: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(
        _cell(one["name"]) if one["what"] == "class" else f"{_cell(one['name'])} (0 to {one['top']:g})"
        for one in outputs
    )


def _embedder(record: Mapping[str, Any]) -> list[str]:
    if "embedding" not in record["settings"]["features"]:
        return ["It needs no other model: everything it reads a page with is in this folder.", ""]
    name = record["provenance"].get("embedder", "the one it was trained with")
    return [f"It embeds pages with `{_cell(name)}`, which must be on the machine; another model is refused.", ""]
