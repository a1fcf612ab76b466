"""When a server asks for patience and takes nothing else: no circuit opens by that, as each answer alone only slows the
sender down, but people are to know (R21). Pure."""

from collections.abc import Sequence
from dataclasses import replace

from tasks.mail.rules import MailAttempt, MailResult
from tasks.mail.sending.answers import About
from tasks.mail.sending.outages import as_said
from tasks.mail.sending.pace import Changes, Circuit, State, circuit_of

#: What it is kept under: a circuit that stops nobody.
STANDSTILL = circuit_of("@standstill")

#: Answers in a row that ask for patience, and seconds since the first of them, after which no mail goes.
IN_A_ROW = 5
SECONDS = 5.0

#: What puts off one mail and not the next.
_ABOUT_ONE = frozenset({About.GREYLISTED, About.FULL, About.DISABLED, About.MAILBOX})


def stands_still(state: State, attempts: Sequence[tuple[str, MailAttempt]], now: float) -> Changes:
    """What is to be changed by what became of mails: each that is taken, or refused, says that it goes on."""
    found = state.get(STANDSTILL)
    known = found if isinstance(found, Circuit) else None
    put_off = [one for _, one in attempts if one.answer is MailResult.THROTTLED and one.about not in _ABOUT_ONE]
    if any(one.answer in {MailResult.ACCEPTED, MailResult.REFUSED} for _, one in attempts):
        return {} if known is None else {STANDSTILL: None}
    if not put_off or (known is not None and known.failures):
        return {}
    last = put_off[-1]
    about = last.about or About.UNCLEAR
    begun = known or Circuit(0, now, since=now)
    seen = replace(
        begun, about=about.value, code=last.code, said=as_said(last.reply or ""), in_a_row=begun.in_a_row + len(put_off)
    )
    return {STANDSTILL: replace(seen, failures=int(is_sure(seen, now)))}


def is_sure(circuit: Circuit, now: float) -> bool:
    """Whether no mail goes."""
    return circuit.in_a_row >= IN_A_ROW and now - circuit.since >= SECONDS
