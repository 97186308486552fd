"""Quality against speed, as points of a drawing."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

LEFT, RIGHT, TOP, BOTTOM = 60.0, 600.0, 20.0, 250.0
"""The frame, in the drawing's own units."""


def front(distill: Mapping[str, Any]) -> dict[str, Any]:
    """Places of what was tried under the weight that was chosen, from left to right, with ticks for both axes."""
    rows = [row for row in distill["choices"] if row["human_weight"] == distill["human_weight"]]
    if not rows:
        return {"points": [], "x_ticks": [], "y_ticks": []}
    speeds, aucs = [max(row["pages_per_s"], 1) for row in rows], [row["auc"] for row in rows]
    across, up = _axis([math.log10(s) for s in speeds], LEFT, RIGHT), _axis(aucs, BOTTOM, TOP)
    points = [
        {
            "x": round(across(math.log10(speed)), 1),
            "y": round(up(row["auc"]), 1),
            "front": row["front"],
            "chosen": row["chosen"],
            "words": f"{' + '.join(row['features'])}: AUC {row['auc']:.3f} +-{row['auc_error']:.3f}, {speed:,} pages a second",
        }
        for row, speed in zip(rows, speeds, strict=True)
    ]
    steps = [
        base * 10**power
        for power in range(6)
        for base in (1, 3)
        if min(speeds) / 1.5 <= base * 10**power <= max(speeds) * 1.5
    ]
    heights = [min(aucs) + part * (max(aucs) - min(aucs)) for part in (0, 0.5, 1)]
    return {
        "points": sorted(points, key=lambda point: float(point["x"])),
        "x_ticks": [{"at": round(across(math.log10(step)), 1), "words": f"{step:,}"} for step in steps],
        "y_ticks": [{"at": round(up(height), 1), "words": f"{height:.3f}"} for height in dict.fromkeys(heights)],
    }


def _axis(values: Sequence[float], start: float, end: float) -> Any:
    """From a value to its place, with a margin on both sides."""
    low, high = min(values), max(values)
    spread = (high - low) or 1.0
    return lambda value: start + (0.08 + 0.84 * (value - low) / spread) * (end - start)
