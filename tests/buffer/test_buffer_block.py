"""The block codec gives back exactly what it was given."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterkast.model.product import PropertyId
from meterkast.model.reading import Column, Frames, Layout
from meterkast.model.time import UtcMs
from meterkast_buffer.block import BlockError, decode, encode, pack_layout, span, unpack_layout

T0 = UtcMs(1_735_689_600_000)

whole = st.one_of(
    st.integers(-130, 130),
    st.integers(-(1 << 62) + 1, (1 << 62) - 1),
    st.sampled_from([(1 << 62) - 1, -(1 << 62) + 1, (1 << 63) - 1, -(1 << 63), 1 << 70, -(1 << 64)]),
)
layouts = st.lists(
    st.builds(Column, st.integers(1, 4_000_000).map(PropertyId), st.integers(0, 300)), max_size=5
).map(tuple)
times = st.one_of(
    st.integers(0, 60_000).map(lambda after: UtcMs(T0 + after)),
    st.integers(-(1 << 62), 1 << 62).map(UtcMs),
)


@st.composite
def tables(draw: st.DrawFn) -> Frames:
    layout = draw(layouts)
    count = draw(st.integers(0, 12))
    if draw(st.booleans()):
        stamps = [UtcMs(T0 + 1000 * place) for place in range(count)]
    else:
        stamps = draw(st.lists(times, min_size=count, max_size=count))
    rows = draw(st.lists(st.tuples(*[whole for _ in layout]), min_size=count, max_size=count))
    return Frames(layout, stamps, rows)


class Numbers:
    """Layouts and their numbers, as the database keeps them."""

    def __init__(self) -> None:
        self.layouts: dict[int, Layout] = {}

    def __call__(self, layout: Layout) -> int:
        for number, known in self.layouts.items():
            if known == layout:
                return number
        self.layouts[len(self.layouts) + 1] = layout
        return len(self.layouts)


def back(frames: list[Frames]) -> list[Frames]:
    numbers = Numbers()
    return decode(encode(frames, numbers), numbers.layouts)


@settings(max_examples=300, deadline=None)
@given(st.lists(tables(), max_size=6))
def test_any_frames_come_back_as_they_were(frames: list[Frames]) -> None:
    assert back(frames) == frames


@settings(max_examples=50, deadline=None)
@given(layouts)
def test_any_layout_comes_back_as_it_was(layout: Layout) -> None:
    assert unpack_layout(pack_layout(layout)) == layout


def test_nothing_at_all_is_a_block_too() -> None:
    assert back([]) == []
    assert back([Frames(())]) == [Frames(())]


def test_times_that_jump_back_keep_their_order() -> None:
    layout = (Column(PropertyId(1), 0),)
    table = Frames(
        layout, [UtcMs(T0 + at) for at in (0, 1000, -3_600_000, 2001, 2001)], [(n,) for n in range(5)]
    )
    assert back([table]) == [table]


def test_two_hundred_layouts_of_one_event_each_come_back() -> None:
    chance = random.Random(7)
    frames = [
        Frames(
            (Column(PropertyId(number), 1),),
            [UtcMs(T0 + chance.randrange(60_000))],
            [(chance.randrange(9999),)],
        )
        for number in range(1, 201)
    ]
    assert back(frames) == frames


def minute(properties: int = 30, seconds: int = 60) -> Frames:
    """A minute of a three-phase meter: a third of the values move, times are regular."""
    chance = random.Random(1)
    layout = tuple(Column(PropertyId(number), number % 2) for number in range(1, properties + 1))
    still = [chance.randrange(10_000_000) for _ in layout]
    rows = [
        tuple(
            value + chance.randrange(-4, 5) if place % 3 == 0 else value for place, value in enumerate(still)
        )
        for _ in range(seconds)
    ]
    return Frames(layout, [UtcMs(T0 + 1000 * second) for second in range(seconds)], rows)


def test_a_minute_of_a_three_phase_meter_takes_less_than_a_kilobyte() -> None:
    assert len(encode([minute()], Numbers())) < 700


def test_columns_that_stand_still_cost_next_to_nothing() -> None:
    one, many = minute(1), minute(1)
    many.layout = tuple(Column(PropertyId(number), 0) for number in range(1, 31))
    many.rows = [(row[0], *[123_456] * 29) for row in one.rows]
    assert len(encode([many], Numbers())) - len(encode([one], Numbers())) < 29


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_is_noticed_wherever_it_is(seed: int) -> None:
    numbers = Numbers()
    data = bytearray(encode([minute()], numbers))
    chance = random.Random(seed)
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    with pytest.raises(BlockError):
        decode(bytes(data), numbers.layouts)


def test_a_block_that_is_cut_off_is_noticed() -> None:
    numbers = Numbers()
    data = encode([minute()], numbers)
    for length in (0, 4, 5, len(data) - 1):
        with pytest.raises(BlockError):
            decode(data[:length], numbers.layouts)


def test_a_layout_that_is_not_known_is_an_error_and_no_guess() -> None:
    data = encode([minute()], Numbers())
    with pytest.raises(BlockError, match="layout 1"):
        decode(data, {})


def test_rows_that_do_not_fit_their_layout_are_refused() -> None:
    layout = (Column(PropertyId(1), 0), Column(PropertyId(2), 0))
    wrong: list[list[tuple[int, ...]]] = [[(1,)], [(1, 2, 3)], [(1, 2), (3,)]]
    for rows in wrong:
        with pytest.raises(ValueError):  # noqa: PT011 - any of three places may say so
            encode([Frames(layout, [T0] * len(rows), rows)], Numbers())
    with pytest.raises(ValueError, match="2 times for 1 rows"):
        encode([Frames(layout, [T0, T0], [(1, 2)])], Numbers())


def test_the_span_is_that_of_all_samples() -> None:
    layout = (Column(PropertyId(1), 0),)
    early = Frames(layout, [UtcMs(T0 + 5), UtcMs(T0 - 5)], [(1,), (2,)])
    assert span([Frames(layout), early, Frames(layout, [UtcMs(T0 + 9)], [(3,)])]) == (T0 - 5, T0 + 9)
