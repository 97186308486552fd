"""The answer forms, by name. A new form is one `FormSpec` entered here."""

from collections.abc import Mapping
from types import MappingProxyType

from curate.judge.formspec import FormSpec, answer_features, kinds, options
from curate.judge.letters import LETTERS
from curate.judge.onetoken import ONE_TOKEN, WORD_QUESTIONS
from curate.judge.written import WRITTEN

__all__ = ["FORMS", "ORDERS", "WORD_QUESTIONS", "FormSpec", "answer_features", "kinds", "options"]

FORMS: Mapping[str, FormSpec] = MappingProxyType({**ONE_TOKEN, **WRITTEN, **LETTERS})
ORDERS: Mapping[str, tuple[str, ...]] = {name: spec.orders for name, spec in FORMS.items() if len(spec.orders) > 1}
"""Forms that ask more than once."""
