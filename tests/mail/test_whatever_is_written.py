"""Whatever an author writes: it is refused in a line, or what is made of it is a mail. `make chaos` tries more."""

from hypothesis import given
from hypothesis import settings as examples

from tests.mail.authors import BODIES, SUBJECTS, VALUES, holds


@given(SUBJECTS, BODIES, VALUES)
@examples(max_examples=100)
def test_r31_whatever_is_written_is_refused_in_a_line_or_becomes_a_mail(subject: str, body: str, value: str) -> None:
    assert holds(subject, body, value)
