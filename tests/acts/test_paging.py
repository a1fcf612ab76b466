"""Pages and their cursors."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import Invalid
from tasks.acts.paging import keys_after, page

KEYS = st.tuples(
    st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.integers(0, 2**62)
)


@given(KEYS, st.text(max_size=5))
def test_a_cursor_holds_the_keys_of_the_last_item(keys: tuple[str, int], search: str) -> None:
    found = page([keys, keys], 1, lambda item: item, "learners", 1, search)

    assert found.items == [keys]
    assert keys_after(found.next, tuple[str, int], "learners", 1, search) == keys


def test_a_time_in_a_cursor_keeps_its_microseconds() -> None:
    moment = datetime(2026, 2, 3, 4, 5, 6, 789012, UTC)
    found = page([moment, moment], 1, lambda item: (item, 7), "audit")

    assert keys_after(found.next, tuple[datetime, int], "audit") == (moment, 7)


def test_the_last_page_has_no_cursor() -> None:
    assert page([1, 2], 2, lambda item: (item,), "list").next is None
    assert page([], 2, lambda item: (item,), "list").next is None
    assert keys_after(None, tuple[int], "list") is None


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda octets: urlsafe_b64encode(octets).decode()))
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid, match="begin again without it"):
        keys_after(cursor, tuple[str, int], "learners", 1)


@pytest.mark.parametrize("listed", [("learners", 2), ("courses", 1), ("learners", 1, "search"), ()])
def test_a_cursor_of_another_list_is_refused(listed: tuple[object, ...]) -> None:
    cursor = page(["a", "b"], 1, lambda item: (item, 1), *listed).next

    with pytest.raises(Invalid) as refused:
        keys_after(cursor, tuple[str, int], "learners", 1)

    assert [problem.pointer for problem in refused.value.errors] == ["/after"]


@pytest.mark.parametrize("keys", [("a\0b", 1), (1, "a"), ("a",), ("a", 1, 2), None])
def test_a_cursor_with_other_keys_is_refused(keys: object) -> None:
    of = page(["a", "b"], 1, lambda item: (item, 1), "learners", 1).next
    assert of is not None
    mark, _ = msgspec.msgpack.decode(urlsafe_b64decode(of + "=" * (-len(of) % 4)))
    forged = urlsafe_b64encode(msgspec.msgpack.encode((mark, keys))).decode()

    with pytest.raises(Invalid):
        keys_after(forged, tuple[str, int], "learners", 1)
