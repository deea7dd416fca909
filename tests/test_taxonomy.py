"""The classes of MMA-52, and what follows from any list of classes."""

from collections import Counter

from mmad.taxonomy import MMA52, Taxonomy


def test_index_order_is_the_release_and_not_the_code() -> None:
    """The six codes that the paper names."""
    named = {"B3": 8, "A2": 3, "D3": 24, "B2": 10, "C4": 17, "C5": 19}
    assert {code: MMA52.codes.index(code) for code in named} == named


def test_body_groups_are_ranges_of_the_index_and_letters_of_the_code() -> None:
    sizes = Counter(MMA52.body_of)
    assert [sizes[body] for body in range(7)] == [5, 6, 13, 8, 6, 10, 4]
    assert list(MMA52.body_of) == sorted(MMA52.body_of)
    assert all("ABCDEFG"[body] == code[0] for body, code in zip(MMA52.body_of, MMA52.codes, strict=True))


def test_names_and_codes_are_unique() -> None:
    assert len(set(MMA52.actions)) == len(set(MMA52.codes)) == 52
    assert MMA52.index_of["turning head"] == 8


def test_one_body_group_is_flat() -> None:
    assert not MMA52.flat
    assert Taxonomy.from_rows((("1", "left", "all"), ("2", "right", "all"))).flat
