"""What is loaded of a model's folder: weights and settings, no code."""

import json
from pathlib import Path

import pytest
import small_embedder

from curate.embed.models import load, prompt_text
from curate.errors import BadInput


def test_no_code_of_the_folder_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = small_embedder.write(tmp_path / "tiny")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n\nclass Evil:\n    pass\n")
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "evil.Evil"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(BadInput, match="is not a sentence-transformers model"):
        load(folder, "tiny")
    config = json.loads((folder / "config.json").read_text())
    modules[1]["type"] = "sentence_transformers.models.Pooling"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config.json").write_text(
        json.dumps({**config, "model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}})
    )
    with pytest.raises(BadInput, match="is not a sentence-transformers model"):
        load(folder, "tiny")
    assert not (tmp_path / "ran").exists()


def test_damaged_settings_are_named(tmp_path: Path) -> None:
    (tmp_path / "config_sentence_transformers.json").write_text("[1]")
    with pytest.raises(BadInput, match=r"config_sentence_transformers\.json: is not the settings"):
        prompt_text(tmp_path, None)


def test_a_folder_without_prompts_has_none(tmp_path: Path) -> None:
    assert prompt_text(tmp_path, None) == ""
    assert prompt_text(tmp_path, "passage: ") == "passage: "
    with pytest.raises(BadInput, match=r"no prompt named 'passage' \(it has: none\)"):
        prompt_text(tmp_path, "passage")
