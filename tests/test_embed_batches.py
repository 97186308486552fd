"""Batches hold what they may, and leave nothing out."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from curate.embed.batches import batches, runs

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=60)


@given(lengths=LENGTHS, budget=st.integers(1, 200))
def test_runs_are_in_order_whole_and_within_the_budget(lengths: list[int], budget: int) -> None:
    falling = sorted(lengths, reverse=True)
    found = list(runs(falling, budget))
    assert [i for run in found for i in range(run.start, run.stop)] == list(range(len(falling)))
    assert all(run.stop - run.start == 1 or falling[run.start] * (run.stop - run.start) <= budget for run in found)


@given(lengths=LENGTHS, budget=st.integers(1, 200), left=st.booleans())
def test_every_token_is_in_one_batch(lengths: list[int], budget: int, left: bool) -> None:
    width = max(*lengths, 1)
    mask = torch.tensor([[0] * (width - n) + [1] * n if left else [1] * n + [0] * (width - n) for n in lengths])
    tokens = torch.arange(mask.numel()).reshape(mask.shape) * mask
    given = {"input_ids": tokens, "attention_mask": mask, "prompt_length": 3, "modality": "text"}
    rows_seen: list[int] = []
    for rows, one in batches(given, budget, left=left):
        rows_seen += rows.tolist()  # type: ignore[union-attr]
        assert (one["prompt_length"], one["modality"]) == (3, "text")
        assert one["input_ids"].shape == one["attention_mask"].shape
        assert one["input_ids"].sum(1).tolist() == tokens[rows].sum(1).tolist()
        assert one["attention_mask"].sum(1).tolist() == [lengths[i] for i in rows]
        assert one["input_ids"].shape[1] == max(max(lengths[i] for i in rows), 1)
    assert sorted(rows_seen) == list(range(len(lengths)))


def test_without_a_mask_the_block_is_one_batch() -> None:
    given = {"input_ids": torch.arange(5), "offsets": torch.tensor([0, 2])}
    ((rows, one),) = batches(given, 1, left=False)
    assert rows == slice(None)
    assert one == given
