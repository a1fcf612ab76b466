"""What became of a batch is what became of its parts: R32."""

from tasks.intake import BatchResult


def test_r32_what_became_of_both_parts_is_added_up_and_the_others_positions_are_behind() -> None:
    first = BatchResult(1, 2, 3, 4, 5, 6, ((0, "a"),))
    second = BatchResult(10, 20, 30, 40, 50, 60, ((1, "b"),))

    assert first + second == BatchResult(11, 22, 33, 44, 55, 66, ((0, "a"), (2, "b")))
    assert BatchResult() + first == first
