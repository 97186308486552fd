"""Thresholds with a promise: what a filter keeps reaches its aim at a stated confidence, or the answer says it may not."""

from curate.promises.giving import LEAST_LABELS, Promise, promise

__all__ = ["LEAST_LABELS", "Promise", "promise"]
