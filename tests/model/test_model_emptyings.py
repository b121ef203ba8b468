"""A bin on a scale: each emptying is told once, with the largest weight before it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterkast.model.emptyings import EMPTIED_PERCENT, Emptyings

WEIGHTS = st.lists(st.one_of(st.integers(-2, 3), st.integers(0, 120)), max_size=40)


def told(emptyings: Emptyings, weights: list[int]) -> list[int]:
    return [peak for weight in weights if (peak := emptyings.take(weight)) is not None]


@pytest.mark.parametrize(
    ("weights", "peaks"),
    [
        ([], []),
        ([5, 9, 4], [9]),
        ([9, 4, 2, 3, 0], [9, 3]),  # a rise of more than 5 % of 9 kg, and of a half, ends it
        ([100, 40, 44, 41, 10, 0, 1], [100]),  # 44 is within the noise of an emptying from 100
        ([100, 40, 46, 10], [100, 46]),
        ([100, 80, 65], [100]),
        ([100, 70], []),  # a fall of exactly the share is none
        ([100, 69], [100]),
        ([-1, -2, -1, -3], []),  # nothing on it, and not set to zero
        ([2, -4, 2, -4], [2, 2]),
    ],
)
def test_an_emptying_is_a_fall_by_more_than_its_share_until_the_weight_rises(
    weights: list[int], peaks: list[int]
) -> None:
    assert told(Emptyings(), weights) == peaks


def test_a_fall_within_the_scales_noise_is_no_emptying_whatever_its_share() -> None:
    assert told(Emptyings(one=10), [4, 0, 4, 0]) == [], "0.4 kg"
    assert told(Emptyings(one=10), [5, 0, 5, 0]) == [5, 5]


@settings(derandomize=True, deadline=None, max_examples=300)
@given(WEIGHTS)
def test_what_is_told_was_shown_since_the_emptying_before_and_nothing_higher_after_it(
    weights: list[int],
) -> None:
    emptyings, since = Emptyings(), list[int]()
    for weight in weights:
        if (peak := emptyings.take(weight)) is not None:
            assert peak > 0
            assert (peak - weight) * 100 > peak * EMPTIED_PERCENT
            shown = max(number for number, one in enumerate(since) if one == peak)
            assert all(one <= peak for one in since[shown:])
            since = []
        since.append(weight)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(WEIGHTS.map(sorted))
def test_a_weight_that_only_rises_is_never_emptied(weights: list[int]) -> None:
    assert told(Emptyings(), weights) == []


@settings(derandomize=True, deadline=None, max_examples=300)
@given(WEIGHTS, st.integers(0, 40), st.integers(0, 3))
def test_decimals_that_come_later_change_nothing_of_what_is_told(
    weights: list[int], place: int, decimals: int
) -> None:
    factor = 10**decimals
    scaled = Emptyings()
    before = told(scaled, weights[:place])
    scaled.rescale(factor)
    after = told(scaled, [weight * factor for weight in weights[place:]])
    plain = Emptyings()
    assert before == told(plain, weights[:place])
    assert after == [peak * factor for peak in told(plain, weights[place:])]
