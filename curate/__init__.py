"""Label a few hundred web pages; get a tuned LLM judge, a cheap classifier and a filtered corpus."""

import os

# before any library is imported: none of them may call home
for _name, _value in {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}.items():
    os.environ.setdefault(_name, _value)

__version__ = "0.1.0"
