"""Who speaks in a message that came back without the fields of a report: a mail system that tells of a failure or of a
delay, or a machine that answers for a person. In the languages that they speak."""

import re


def _one_of(*phrases: str) -> re.Pattern[str]:
    return re.compile(r"\s*(?:" + "|".join(phrases) + ")", re.IGNORECASE)


#: Fields by which a machine says that it answers for a person, besides Auto-Submitted (RFC 3834).
AUTOMATIC = frozenset(
    {"x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-response-suppress", "x-vacation", "x-mail-autoreply"}
)

#: How the subject of an answer begins that a machine gives for a person.
ANSWERS = _one_of(
    r"(?:(?:re|aw|sv|antw|rv|tr|fw|wg) ?: ?)?(?:"
    r"out[- ]of[- ](?:the[- ])?office|auto[- ]?(?:repl|resp|:|answer)|automatic(?:ally)? (?:repl|resp|gener|answer)",
    r"vacation|away from|i(?: am|'m) (?:away|on|out)|on (?:leave|holiday|vacation)|absen(?:ce|t)|thank you for ",
    r"abwesen|automatische (?:antwort|abwesen)|r.{1,2}ponse automatique|respuesta autom|fuera de|ausente",
    r"risposta automatica|fuori (?:ufficio|sede)|resposta autom|afwezig|automatisch antwoord|autosvar",
    r"automaattinen|poissa|nieobecno|automatyczna odpowied|ticket received|we have received your)",
)

#: Who writes a report.
REPORTER = re.compile(
    r"mailer[-_ ]?daemon|postmaster|mail(?:er)? ?deliver|delivery[-_ ]?(?:sub)?system|system administrator|mdaemon"
    r"|mail ?administrator|bounce|majordomo|mail system|mailsystem",
    re.IGNORECASE,
)

#: How the subject of a report begins.
REPORTS = _one_of(
    r"undeliver|failure notice|return(?:ed)? (?:mail|to sender)|delivery (?:status|fail|notif|report|problem|error)",
    r"mail (?:delivery|could not|not deliver|system error|status|returned)|(?:mail|message|delivery) failed",
    r"message (?:could not|not deliver|status|undeliver)|non[- ]?deliver|unable to deliver|failed (?:mail|delivery)",
    r"error sending|could not (?:be )?deliver|unzustellbar|mail non (?:remis|consegn)|rejected mail|bounced",
    r"warning: (?:message|could not)|不達|配信不能",
)

#: How the text of a report begins.
OPENS = _one_of(
    r"hi\. this is the|this is the (?:mail|postfix|qmail)|this message was created automatically by mail",
    r"this is an automatically generated delivery|delivery to the following recipient|a message that you",
    r"sorry, (?:we|i) (?:were|was) unable|your message (?:did not|could not|was not|to )|unable to deliver",
    r"the original message was received|the following (?:message|recipient|address)|we're sorry\. there's",
    r"i'm sorry to have to inform you|message (?:could not|delivery) ",
)

#: What is said of a mail that is only late, or that arrived.
LATE = re.compile(
    r"warning message only|(?:has been|is|was|were) delayed|not yet been delivered|no action is required"
    r"|not (?:been )?(?:delivered yet|yet delivered)|success(?:ful|fully) (?:mail )?deliver"
    r"|(?:was|been) (?:successfully )?(?:delivered|relayed) to|delivery to these recipients (?:or groups )?is complete"
    r"|will (?:continue|keep|be) (?:to )?(?:try|retr)|still (?:be )?(?:trying|being retried)|transient non-fatal",
    re.IGNORECASE,
)

#: What is said of a failure that may pass.
PASSING = re.compile(
    r"temporary (?:failure|error|problem)|retry time|expired|timed? ?out|too long|giving up", re.IGNORECASE
)

#: How Microsoft's programme for senders passes on a complaint in which a mail is all that is quoted.
COMPLAINT = _one_of(r"complaint about message from")
