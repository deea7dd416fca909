import pytest
import torch

from mmad.data.sampler import LengthBatches

LENGTHS = [(7 * i) % 53 + 10 for i in range(101)]


def batches(**settings: int) -> list[list[tuple[int, int]]]:
    epoch = settings.pop("epoch", 0)
    sampler = LengthBatches(LENGTHS, seed=1, **{"batch_size": 4, **settings})
    sampler.set_epoch(epoch)
    assert len(list(sampler)) == len(sampler)
    return list(sampler)


def test_no_clip_comes_twice_and_at_most_one_batch_is_left_out() -> None:
    keys = [key for batch in batches() for key in batch]
    assert len(keys) == len(set(keys)) == 100


def test_order_depends_on_seed_and_epoch_alone() -> None:
    assert batches(epoch=3) == batches(epoch=3)
    assert [index for b in batches(epoch=3) for _, index in b] != [index for b in batches(epoch=4) for _, index in b]
    assert {epoch for batch in batches(epoch=3) for epoch, _ in batch} == {3}


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_share_the_batches_of_one_process(ranks: int) -> None:
    """With a batch that is as much smaller: rank r has every clip of a step whose place is r modulo the ranks."""
    one = batches()
    shares = [batches(rank=rank, ranks=ranks, batch_size=4 // ranks) for rank in range(ranks)]
    for step, batch in enumerate(one):
        assert [share[step] for share in shares] == [batch[rank::ranks] for rank in range(ranks)]
    assert {len(share) for share in shares} == {len(one)}


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_broken_epoch_goes_on_where_it_stopped(ranks: int) -> None:
    sampler = LengthBatches(LENGTHS, batch_size=2, seed=1, ranks=ranks)
    whole = {}
    for epoch in (2, 3):
        sampler.set_epoch(epoch)
        whole[epoch] = list(sampler)
    sampler.skip(epoch=2, batches=5)
    sampler.set_epoch(2)
    assert [list(sampler), list(sampler)] == [whole[2][5:]] * 2
    assert len(sampler) == len(whole[2])
    sampler.set_epoch(3)
    assert list(sampler) == whole[3]


def test_a_batch_holds_clips_of_like_length() -> None:
    spread = [max(lengths) - min(lengths) for b in batches() if (lengths := [LENGTHS[i] for _, i in b])]
    assert sum(spread) / len(spread) < 8  # of lengths from 10 to 62


def test_fewer_clips_than_a_batch_still_train() -> None:
    sampler = LengthBatches([10, 20, 30], batch_size=8, seed=0)
    assert sorted(index for _, index in next(iter(sampler))) == [0, 1, 2]


def factors(seed: int = 0) -> torch.Tensor:
    """A rare clip in four; the others come once."""
    generator = torch.Generator().manual_seed(seed)
    rare = torch.rand(len(LENGTHS), generator=generator) < 0.25
    return torch.where(rare, 1 + 3 * torch.rand(len(LENGTHS), generator=generator, dtype=torch.float64), 1.0)


def balanced(**settings: int) -> LengthBatches:
    return LengthBatches(LENGTHS, seed=1, factors=factors(), **{"batch_size": 4, **settings})


def test_without_factors_nothing_has_changed() -> None:
    """Against the order of plain shuffling, which runs of earlier versions had."""
    generator = torch.Generator().manual_seed(1_000_003 + 5)
    order = torch.randperm(101, generator=generator).tolist()
    pools = [sorted(order[start : start + 32], key=lambda index: LENGTHS[index]) for start in range(0, 101, 32)]
    order = [index for pool in pools for index in pool]
    groups = [order[start : start + 4] for start in range(0, 100, 4)]
    expected = [groups[i] for i in torch.randperm(25, generator=generator).tolist()]
    assert [[index for _, index in batch] for batch in batches(epoch=5)] == expected


def test_clips_come_as_often_as_their_factors_say() -> None:
    sampler, epochs = balanced(batch_size=1), 600
    times = torch.zeros(len(LENGTHS))
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        drawn = torch.tensor([place % len(LENGTHS) for batch in sampler for _, place in batch])
        now = drawn.bincount(minlength=len(LENGTHS))
        # At most one is left out of an epoch.
        assert (now >= factors().floor()).sum() >= len(LENGTHS) - 1
        assert (now <= factors().ceil()).all()
        times += now
    # Four standard errors of a fair coin, the widest of all fractional parts, and what is left out.
    assert (times / epochs - factors()).abs().max() < 4 * 0.5 / epochs**0.5 + 0.02


def test_fractional_parts_are_drawn_anew_in_each_epoch() -> None:
    sampler = balanced(batch_size=1)
    drawn = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        drawn.append(sorted(place for batch in sampler for _, place in batch))
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_epochs_with_repeats_are_equally_long_and_ranks_share_them(ranks: int) -> None:
    samplers = [balanced(rank=rank, ranks=ranks) for rank in range(ranks)]
    assert {len(sampler) for sampler in samplers} == {int(factors().sum()) // 4 // ranks}
    for epoch in range(20):
        keys = []
        for sampler in samplers:
            sampler.set_epoch(epoch)
            mine = list(sampler)
            assert len(mine) == len(sampler)
            keys += [key for batch in mine for key in batch]
        assert len(set(keys)) == len(keys)


def test_a_repeat_has_a_place_of_its_own() -> None:
    """The n-th of a clip has n times the number of clips added, so that the first one is augmented as ever."""
    sampler = LengthBatches([10, 20], batch_size=1, seed=0, factors=torch.tensor([3.0, 1.0], dtype=torch.float64))
    assert len(sampler) == 4
    assert sorted(place for batch in sampler for _, place in batch) == [0, 1, 2, 4]


def test_batches_with_repeats_depend_on_seed_and_epoch_and_hold_like_lengths() -> None:
    sampler, again = balanced(), balanced()
    for each in (sampler, again):
        each.set_epoch(7)
    assert list(sampler) == list(again)
    spread = [
        max(lengths) - min(lengths) for b in sampler if (lengths := [LENGTHS[place % len(LENGTHS)] for _, place in b])
    ]
    assert sum(spread) / len(spread) < 8
