"""Label a few hundred web pages; get a tuned LLM judge, a cheap classifier and a filtered corpus."""

__version__ = "0.1.0"
