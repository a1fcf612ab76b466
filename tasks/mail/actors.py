"""What a mail worker does."""

from config.runtime import Runtime
from tasks import work
from tasks.mail import delivery
from tasks.work import actor


@actor("mail.deliver")
def deliver(runtime: Runtime, piece: work.Piece) -> None:
    """Send one piece of a mailing."""
    delivery.send_piece(runtime, piece)
