"""Pages to vectors, and the cache that embeds no page twice. Only this room speaks sentence-transformers."""

from curate.embed.cache import EmbeddingCache
from curate.embed.chunks import Vectors
from curate.embed.embedder import DEFAULT_MODEL, Backend, Embedder, OnProgress, Precision

__all__ = ["DEFAULT_MODEL", "Backend", "Embedder", "EmbeddingCache", "OnProgress", "Precision", "Vectors"]
