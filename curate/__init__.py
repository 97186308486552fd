"""Label a few hundred web pages; get a tuned LLM judge, a cheap classifier and a filtered corpus."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.classifier import load_classifier

__all__ = ["__version__", "load_classifier"]

# before any library is imported: none of them may call home
for _name, _value in {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}.items():
    os.environ.setdefault(_name, _value)

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`curate.load_classifier`, imported when it is asked for: numpy and scipy take a while."""
    if name == "load_classifier":
        from curate.classifier import load_classifier

        return load_classifier
    raise AttributeError(f"module 'curate' has no attribute {name!r}")
