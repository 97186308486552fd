"""DSPy and GEPA kept from drawing bars, writing logs and warning of what the pinned release still has."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet_dspy() -> Iterator[None]:
    """For the time of a search: no bars, no logs, no warnings of theirs."""
    import dspy  # noqa: F401  importing it sets up its loggers

    loggers = [logging.getLogger(name) for name in ("dspy", "gepa")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), _no_bars():
        warnings.filterwarnings("ignore", module=r"dspy\..*|gepa\..*")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Both ask tqdm for a bar without a way to say no."""
    from tqdm import tqdm

    plain = tqdm.__init__

    def disabled(bar: Any, *args: Any, **kwargs: Any) -> None:
        plain(bar, *args, **{**kwargs, "disable": True})

    tqdm.__init__ = disabled
    try:
        yield
    finally:
        tqdm.__init__ = plain
