"""A sentence embedder of two small layers with random weights, written as the hub's are."""

import json
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding, Transformer
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing
from transformers import BertConfig, BertModel, BertTokenizerFast

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,:"
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("passage", "query", "cat", "bond", "sun", "one", "two", "three", "four", "the", "of")


def tokenizer() -> Tokenizer:
    words = [*MARKS, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    made = Tokenizer(WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
    made.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made


def write(folder: Path, *, prompts: dict[str, str] | None = None, default: str | None = None) -> Path:
    """A BERT of two layers, 32 wide, that reads 64 tokens."""
    raw = folder.with_name(f"{folder.name}.raw")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer().get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(raw)
    BertTokenizerFast(tokenizer_object=tokenizer()).save_pretrained(raw)
    transformer = Transformer(str(raw), max_seq_length=64)
    modules = [transformer, Pooling(32, "mean"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    _say(folder, prompts or {}, default)
    return folder


def write_static(folder: Path) -> Path:
    """A vector for each token, averaged: no transformer."""
    made = StaticEmbedding(tokenizer(), embedding_dim=16)
    SentenceTransformer(modules=[made], device="cpu").save(str(folder), create_model_card=False)
    return folder


def _say(folder: Path, prompts: dict[str, str], default: str | None) -> None:
    path = folder / "config_sentence_transformers.json"
    said = {**json.loads(path.read_text()), "prompts": prompts, "default_prompt_name": default}
    path.write_text(json.dumps(said))
