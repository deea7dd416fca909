from mmad.data.sampler import LengthBatches

LENGTHS = [(7 * i) % 53 + 10 for i in range(101)]


def batches(**settings: int) -> list[list[tuple[int, int]]]:
    epoch = settings.pop("epoch", 0)
    sampler = LengthBatches(LENGTHS, batch_size=4, seed=1, **settings)
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


def test_ranks_share_the_batches_of_one_process() -> None:
    one, first, second = batches(), batches(rank=0, ranks=2), batches(rank=1, ranks=2)
    assert len(first) == len(second)
    assert [batch for pair in zip(first, second, strict=True) for batch in pair] == one[:24]


def test_a_batch_holds_clips_of_like_length() -> None:
    spread = [max(lengths) - min(lengths) for b in batches() if (lengths := [LENGTHS[i] for _, i in b])]
    assert sum(spread) / len(spread) < 8  # of lengths from 10 to 62


def test_fewer_clips_than_a_batch_still_train() -> None:
    sampler = LengthBatches([10, 20, 30], batch_size=8, seed=0)
    assert sorted(index for _, index in next(iter(sampler))) == [0, 1, 2]
