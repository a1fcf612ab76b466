"""Who gets a mail, and what became of it: the gate, the deliveries and what is remembered of them."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.mail.ledger.gate import Recipient
    from tasks.mail.ledger.mailings import Mailing
    from tasks.mail.ledger.message_ids import MessageIds, digest, digested, length_prefixed, message_ids_of
    from tasks.mail.ledger.moves import pause_once
    from tasks.mail.ledger.witness import Witness
else:
    __getattr__ = lazily(__name__)
