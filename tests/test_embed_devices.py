"""Several devices, tried as two processes on the CPU."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import small_embedder

from curate.embed import Embedder
from curate.embed.devices import Pool
from curate.errors import BadInput


def test_two_processes_make_the_vectors_of_one_and_end_with_the_embedder(tmp_path: Path) -> None:
    folder = str(small_embedder.write(tmp_path / "tiny"))
    texts = [" ".join(["cat", "sun", "one", "bond"][: 1 + i % 4] * (1 + i % 7)) for i in range(2 * Pool.LEAST)]
    alone = Embedder(folder, max_tokens=32, precision="float32", prompt="the ").embed(texts)
    both = Embedder(folder, max_tokens=32, precision="float32", prompt="the ", devices=["cpu", "cpu"])
    assert both.embed(texts) == pytest.approx(alone, abs=1e-5)
    assert len(multiprocessing.active_children()) >= 2
    assert np.allclose(both.embed(texts[:3]), alone[:3], atol=1e-5)
    before = multiprocessing.active_children()
    del both
    assert len(multiprocessing.active_children()) == len(before) - 2


def test_a_device_that_is_not_there_is_said(tmp_path: Path) -> None:
    folder = str(small_embedder.write(tmp_path / "tiny"))
    with pytest.raises(BadInput, match="devices: no cuda:99 on this machine"):
        Embedder(folder, max_tokens=8, devices=["cpu", "cuda:99"]).embed(["a"])
    with pytest.raises(BadInput, match="devices: no tpu on this machine"):
        Embedder(folder, max_tokens=8, devices=["tpu"]).embed(["a"])
