"""What a mail server's answer is about, whoever says it: a reply as we send, or a report that comes back (R21).

One table decides for both, read from above: the first row that matches wins. Words weigh more than the enhanced code
(RFC 3463), which is often missing, often wrong, and may stand anywhere in the text; what is about us weighs more than
what is about the mailbox, so that one listing or one quota suppresses nobody. `docs/answers.md` shows the table.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache


class About(StrEnum):
    """What an answer is about. Only `no such mailbox` is the end of an address."""

    MAILBOX = "no such mailbox"
    FULL = "mailbox full"
    DISABLED = "mailbox disabled"
    SIGN_IN = "our sign-in or encryption"
    SENDER = "our sender"
    REPUTATION = "our reputation"
    CONNECTIONS = "our connections"
    RATE = "our rate or quota"
    CONTENT = "our message"
    PROTOCOL = "what we said"
    POLICY = "policy"
    GREYLISTED = "greylisting"
    ROUTE = "the way there"
    UNCLEAR = "unclear"


class Stage(StrEnum):
    """When it was said: as we sent, or later in a report."""

    CONNECT = "connect"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    END = "end of data"
    REPORT = "report"


#: What is about us, whoever the recipient is: it says nothing of an address.
ABOUT_US = frozenset(
    {
        About.SIGN_IN,
        About.SENDER,
        About.REPUTATION,
        About.CONNECTIONS,
        About.RATE,
        About.CONTENT,
        About.PROTOCOL,
        About.POLICY,
    }
)

#: Of these, what would meet every mail that we send, so that sending stops until it is mended. Content is left out: it
#: is what one organisation says, and stops no other (R31).
MEETS_EVERYBODY = frozenset({About.SIGN_IN, About.SENDER, About.REPUTATION, About.RATE, About.POLICY})

#: What an answer can be about before a recipient was named; anything else that is said then is about our sender.
_BEFORE_RECIPIENT = ABOUT_US | {About.GREYLISTED}


@dataclass(frozen=True, slots=True)
class Row:
    """An answer is about this if one of the reply codes, one of the enhanced codes and one of the words are in it; what
    is empty asks for nothing. `*` stands for any number, `none` for no enhanced code, or for x.0.0."""

    about: About
    codes: str = ""
    statuses: str = ""
    words: tuple[str, ...] = ()


_SOMEBODY = (
    r"(?:user|recipient|mail ?box|account|address(?:ee)?|local[- ]?part|subscriber|e-?mail|person|alias|inbox)(?:e?s)?"
)

#: From above: the first row that matches an answer says what it is about. Words are regular expressions, in any case.
TABLE = (
    Row(
        About.SENDER,
        words=(
            r"\b(?:spf|dkim|dmarc|sender ?id|batv)\b|sender policy framework|sending domain\b.{0,40}?\bauthent",
            r"unauthenticated",
            r"sender\b.{0,40}?\b(?:rejected|refused|denied|unknown|blocked|invalid|unverified|not \w+)\b",
            r"sender\b.{0,40}?\bfail(?:ed|ure|s)?\b",
            r"(?:invalid|unknown|bad|unrout\w+|unverified|forged|bogus|illegal|null|empty)(?: envelope)? sender",
            r"(?:verif\w+|callout|callback)\b.{0,30}\bsender",
            r"e-?mail address is not verified",
            r"(?:from|sender) (?:e-?mail )?address\b.{0,60}?\bnot\b.{0,20}?\b(?:verified|allowed|match|owned)",
            r"verified sender|send ?as ?denied|not owned by user|domain of (?:the )?sender|sender('s)? domain",
            r"not (?:allowed|permitted|authori[sz]ed) to send (?:as|from|mail (?:as|from))",
            r"backscatter|bouncedeny|(?:unsigned|third-party) dsns?|bogus mail from|emetteur|rfc 1035|gateway user",
            r"from: domain|fully qualified (?:e-?mail )?address|mx records for|empty e-?mail address",
            r"returned mail not accepted",
            r"absender|exp.{1,2}diteur|remitente|remetente|mittente|afzender|avs.{1,2}ndare|nadawc|odesílatel",
            r"送信者|送信元|差出人|发件人|寄件",
            (
                r"(?:return[- ]?path|return address|envelope[- ]from|mail[- ]from|\bfrom:? address|reply-to|originating"
                r"|submitter|sending account|sending user)\b(?!.{0,12}\bto\b)"
                r".{0,40}?(?:\bnot\b|n't|unknown|invalid|exist|deleted|\bbad\b)"
            ),
            r"\byour (?:e-?mail |sender |from |sending )*(?:domain|address|account)\b.{0,60}?(?:\bnot\b|n't|unknown)",
        ),
    ),
    Row(
        About.SIGN_IN,
        words=(
            r"relay(?:ing)?\b.{0,30}?\b(?:denied|not permitted|not allowed|prohibited|disallowed|refused|rejected)",
            r"(?:not permitted|not allowed|unable|cannot|can't|won't|do not|don't|will not|no)\b.{0,12}? relay",
            r"rcpt ?hosts|insecure mail relay|\bnot (?:been )?authenticated|you(?: are|'re) not an? ",
            r"authenticat(?:e|ion)\b.{0,20}?\b(?:required|needed|first|failed|failure|unsuccessful|invalid|disabled)",
            r"(?:must|need to|have to|please|turn on|without|require[sd]?|smtp)\b.{0,20}?\bauth(?:entica\w+)?\b",
            r"(?:must|need to|please|not) (?:be )?(?:log(?:ged)? ?in|sign(?:ed)? ?in)|bad credentials",
            r"(?:must|need to|require[sd]?)\b.{0,20}?\b(?:starttls|tls|ssl|encrypt\w*)",
            r"(?:starttls|tls|ssl|encryption)\b.{0,20}?\b(?:required|needed|first|not available|mandatory)",
            r"(?:account|user|credentials?)\b.{0,30}?\bauthenticat",
            r"user ?name and password not accepted|client was not authenticated|pop[- ]before[- ]smtp",
        ),
    ),
    Row(
        About.REPUTATION,
        words=(
            r"(?:block|black|deny|drop)[- ]?list",
            r"\b(?:dns|r|rh?s)bl\b|spamhaus|spamcop|sorbs|barracudacentral|uceprotect|senderscore|invaluement|abusix",
            r"(?<!not )\blisted (?:in|at|by|on|as)\b|\bbanned\b",
            r"blocked (?:using|at|for|due|see)|blocked - see|block(?:ed)? by (?:rbl|spam|ip|our|the|zen|sorbs)",
            r"reputation",
            (
                r"(?:your|the connecting|the sending|client|remote|sending)(?: mail)?"
                r" (?:ip|host|server|network|domain|isp|provider|mta)\b.{0,80}?"
                r"(?:block|reject|refus|denied|not allowed|not permitted|dynamic|reverse|resol|ban|suspicio|poor|bad)"
            ),
            r"(?:reverse|r)[- ]?dns|\bptr\b|reverse (?:host ?name|lookup|address)|cannot find your",
            r"(?:helo|ehlo)\b",
            r"dynamic (?:ip|address|host|pool)|open (?:relay|proxy)",
            (
                r"(?:messages?|e-?mails?|mail|access|connections?) from\b.{0,60}?"
                r"(?:weren't sent|block|deferred|reject|refus|denied|not accept)"
            ),
            r"not (?:currently )?accept\w* (?:mail|messages|e-?mail|connections)\b.{0,12}? from",
            r"cannot resolve your|(?:confirm|no access from)\b.{0,20}?\bserver|mismatch\w* client|go away",
            r"harvest|lookup failed|unable to resolve|n't accept (?:mail|messages|e-?mail)\b.{0,12}? from",
            r"smtp server of your|unresolvable relay|requires confirmation",
            r"(?:user|spam) complaints|bad (?:ip|host)|ip (?:address )?[\d.:a-f]+ (?:is|has)",
            r"\bip(?:[- ]address(?:es)?)? (?:is |was )?(?:not\b|unknown|unrecogni[sz]ed)|\badresse ip\b",
            r"unknown client|(?:client|connecting|remote) host name\b|address (?:\d{1,3}\.){3}\d{1,3}\b.{0,30}?\bnot\b",
            r"ihre ip[- ]|sperrliste|liste noire|lista ne[gr]+a",
        ),
    ),
    Row(
        About.CONNECTIONS,
        words=(
            r"(?:too many|(?:maximum|max|allowed) (?:number|amount) of)\b.{0,40}?\b(?:connections|sessions|threads)\b",
            r"(?:concurren\w*|simultaneous)\b.{0,30}?\b(?:connect|session)|sender thread limit|trop de connexions",
            r"(?:connections?|sessions?)\b.{0,30}?\b(?:concurren|simultaneous)",
            r"connections? (?:limit|count)\b(?! rate)|too many open connections",
        ),
    ),
    Row(
        About.RATE,
        words=(
            r"too many\b(?!.{0,12}hops)",
            r"slow(?:er| ?down|ly)\b|too (?:fast|quick\w*|frequent\w*|much mail)",
            r"throttl|rate[- ]?(?:limit|control)|(?:at a|connection|sending|message|unusual) rate",
            (
                r"(?:sending|message|submission|connection|delivery|outbound|session|tenant|hourly|daily|monthly)"
                r" (?:sending |e-?mail |message |mail |recipient |outbound )*(?:limit|quota)"
            ),
            (
                r"(?:quota|limit|exceed\w*|max(?:imum)?)\b.{0,50}?"
                r"\b(?:per (?:second|minute|hour|day)|hourly|daily|messages|e-?mails|connections|recipients)\b"
            ),
            r"concurren|simultaneous|unexpected volume|captcha|recipients? limit",
            r"your (?:sending |daily |hourly |account )*(?:limit|quota)",
        ),
    ),
    Row(About.GREYLISTED, words=(r"gr[ae]y[- ]?list",)),
    Row(About.CONTENT, words=(r"\b(?:message|mail) (?:size )?(?:is )?too (?:large|big)\b(?!.*(?:mail ?box|quota))",)),
    Row(
        About.FULL,
        words=(
            r"quota",
            r"(?:mail ?box|inbox|folder|account|storage|maildir|disk|postfach|user)\b.{0,30}?\b(?:too |over)?full\b",
            r"full (?:mail ?box|inbox)|\bis full\b|enough space|exhausted\b.{0,20}?storage",
            r"(?:insufficient|not enough|no|out of|exceed\w*)\b.{0,30}?\b(?:storage|disk|space)\b",
            r"(?:storage|space|disk)\b.{0,30}?\b(?:exceed\w*|full|limit|used up)",
            r"mail ?box\b.{0,40}?\b(?:exceed\w*|(?:size )?limit|over(?:flow|size)?)\b",
            r"destinataire pleine|postfach (?:ist )?(?:voll|.berf.llt)|casella (?:.{0,20})?piena|buz.n lleno",
            r"bo.{1,2}te\b.{0,30}?pleine|(?:容量|メールボックス).{0,12}(?:超|いっぱい|満杯)",
        ),
    ),
    Row(About.FULL, statuses="*.2.2"),
    Row(About.SENDER, statuses="*.1.7 *.1.8"),
    Row(
        About.DISABLED,
        words=(
            _SOMEBODY + r"\b.{0,50}?\b(?:disabled|suspended|deactivated|inactive|locked|frozen|discontinued)",
            _SOMEBODY + r" (?:is )?not active",
            r"(?:account|user|mail ?box)(?: is| was| has been)?(?: temporarily| currently)? blocked",
            r"(?:disabled|suspended|inactive|deactivated|locked|frozen|abandoned) " + _SOMEBODY,
            r"suspend|temporar\w* locked|or access denied|not accepting any mail|only accepting mail",
            r"extended inactivity|boite du destinataire archivee",
            _SOMEBODY + r"\b.{0,40}?\bnot (?:currently )?(?:accept|receiv)ing (?:any |new )*(?:mail|messages|e-?mail)",
        ),
    ),
    Row(
        About.MAILBOX,
        words=(
            _SOMEBODY + r"\b.{0,80}?\b(?:unknown|(?:does|do|did|may)(?: not|n't) exist|not exist|non-?existent)\b",
            _SOMEBODY + r"\b.{0,60}?(?:not|n't)(?: be)? (?:found|known|listed|registered|(?:a )?valid|recogni[sz]ed)\b",
            _SOMEBODY + r"(?: is| was| or \w+)? (?:in|not )valid\b|does(?: not|n't) exist|\bnot exist\b",
            r"^\W*not found|(?:user|recipient|mail ?box) (?:is )?not (?:local|present|ok)|no mail ?box available",
            r"missing home directory|in name directory|domain must exist|no mx record found for",
            r"has (?:been replaced|moved)|no longer (?:used|in use|valid|exists?)|bad ?recipient ?to|invalid-recipient",
            _SOMEBODY + r"\b.{0,40}?\bno longer\b",
            _SOMEBODY + r"\b.{0,30}?\b(?:moved|deleted|removed|terminated|closed|cancell?ed|expired|left)\b",
            r"(?:unknown|no such|invalid|non-?existent|bad|undefined|illegal|unrecogni[sz]ed)"
            r" (?:or \w+ )?(?:local |e-?mail |destination |virtual |mail |final )*" + _SOMEBODY,
            r"(?:no such|illegal) (?:domain|host|name|person|local|destination|id)|unknown (?:domain|host)\b(?! ?\d)",
            r"\bno " + _SOMEBODY + r"\b.{0,40}?\b(?:here|by that|with that|named|found|at (?:this|that))\b",
            r"(?:nobody|no[- ]one|no body) (?:here|by|there|at|with)|there is no (?:one|user|mail ?box)",
            r"have an? .{0,30}?(?:account|mail ?box)\b",
            r"not an? (?:known |valid |local |active |existing |legal |registered |current )*" + _SOMEBODY,
            r"(?:not|n't) (?:listed|present|found|exist) (?:in|at)\b|user not local",
            r"(?:host|domain)\b.{0,30}?\b(?:unknown|not found|not exist|n't exist|nonexistent|not known)",
            r"n't find (?:any|an?|the) (?:host|mail exchanger|user|mail ?box|recipient|" + _SOMEBODY + ")",
            r"name or service not known|nxdomain|unrouteable|null ?mx|non-?existent hosts",
            r"(?:domain|host|address)\b.{0,40}?\b(?:does(?: not|n't)|never) accepts? (?:any )?(?:e-?)?mail\b(?! from)",
            r"recip(?:ient)?[. ]?notfound|nosuchuser|bad ?rcpt ?to|valid ?rcpt ?to|user ?unknown",
            r"(?:utilisateur|destinataire|adresse|compte)\b.{0,40}?(?:inconnu|n.existe pas|invalide|introuvable)",
            r"unbekannte\w* (?:empf|benutz|adress)",
            r"(?:empf..?nger|adresse|postfach|benutzer|konto)\b.{0,40}?(?:unbekannt|nicht gefunden|existiert nicht)",
            r"utente sconosciuto|nessun utente|casella inesistente",
            r"(?:indirizzo|destinatario) .{0,20}?(?:inesistente|errato)|no existe",
            r"(?:usu.{1,2}rio|destinat.{1,2}rio|cuenta)\b.{0,30}?(?:desconoc|desconhec|inexistente|n.{1,2}o existe)",
            r"bestaat niet|(?:gebruiker|adres|ontvanger) .{0,20}?onbekend",
            r"(?:宛先|受信者|ユーザー?|メールアドレス).{0,12}(?:存在しません|見つかりません|不明)",
            r"nie istnieje|nieznany|neexistuje|ok.{1,2}nd mottagare",
        ),
    ),
    Row(About.MAILBOX, statuses="5.4.1", words=(r"recipient address rejected: access denied",)),
    Row(
        About.MAILBOX,
        statuses="none 5.0.0 5.1.0 5.2.0 5.5.0 5.1.1",
        words=(
            r"(?:mail ?box|account) (?:is )?(?:currently )?(?:unava\w+ble|not available)(?!.*\b(?:later|temporar))",
            r"(?:^|[;:,] ?|\d )address rejected",
        ),
    ),
    Row(
        About.CONTENT,
        words=(
            r"\bspam|junk|unsolicited|\bbulk\b|virus|malware|phish|malicious|infected|suspicious|advertis",
            r"attachment|content|\bmime\b|header|\burls?\b|too (?:large|big)|banned",
            r"(?:message|mail|data)\b.{0,20}?\b(?:size|length|looks|contains|considered|scored?)\b|size\b.{0,20}?exceed",
        ),
    ),
    Row(
        About.ROUTE,
        words=(
            r"hop count|too many hops|\bloop",
            r"time(?:d)?[- ]?out|expired|retry time|giving up|too (?:old|long)\b|could not be delivered for",
            r"connection (?:refused|reset|lost|dropped|closed)|network|no route|unreachable|(?:un|not )able to connect",
            r"(?:could|can|did)(?: not|n't|not) (?:connect|respond|reply|establish)|no answer|not responding",
            r"(?:dns|name (?:service|server)|lookup)\b.{0,20}?(?:error|fail)",
            r"configuration|internal (?:server )?error|system (?:error|resources|not)|local (?:error|problem)",
        ),
    ),
    Row(About.PROTOCOL, words=(r"(?:restricted|illegal|invalid|unsupported) characters?\b|malformed",)),
    Row(
        About.POLICY,
        words=(
            r"polic(?:y|ies)|prohibit|forbidden|restrict|moderat|members?[- ]only|closed (?:mailing )?list|blocked",
            r"notauthorized|protected by|user reject|subscribed to|low priority|multiple addresses|violation|imposed",
            r"not (?:authori[sz]ed|permitted|allowed)|unauthori[sz]ed|filter|suppress|bounced address|preferences",
        ),
    ),
    Row(About.GREYLISTED, codes="5*", words=(r"try(?:ing)? (?:again|later)|come back|retry|later|temporar",)),
    Row(About.SIGN_IN, codes="530 534 535 538"),
    Row(About.SIGN_IN, statuses="*.7.3 *.7.8 *.7.9 *.7.10 *.7.11 *.7.12 *.7.14 *.7.57"),
    Row(
        About.SENDER,
        statuses="*.7.20 *.7.21 *.7.22 *.7.23 *.7.24 *.7.25 *.7.26 *.7.27 *.7.60 *.7.509 *.7.515",
    ),
    Row(About.RATE, statuses="*.3.2 *.4.5 *.7.28 *.7.232 *.7.233 *.1.90 *.2.121 *.2.122"),
    Row(About.CONTENT, statuses="*.2.3 *.3.4 *.6.*"),
    Row(About.POLICY, statuses="*.7.*"),
    Row(About.ROUTE, statuses="*.4.6 *.4.7 *.4.14"),
    Row(
        About.ROUTE,
        statuses="5.1.1 5.1.2 5.1.6",
        words=(r"service (?:is )?(?:currently |temporarily )?(?:unavailable|not available)",),
    ),
    Row(About.MAILBOX, statuses="5.1.1 5.1.2 5.1.3 5.1.6 5.1.10 5.1.351 5.2.1 5.4.310"),
    Row(About.PROTOCOL, statuses="*.5.*"),
    Row(About.ROUTE, statuses="*.4.* *.3.*"),
    Row(About.POLICY, words=(r"denied|not accepted",)),
    Row(About.PROTOCOL, codes="500 501 502 503 504 555", statuses="none"),
    Row(About.FULL, codes="552", statuses="none"),
    Row(About.MAILBOX, codes="551 556", statuses="none"),
)

#: An enhanced code, wherever it stands in a text; an IP address is none.
STATUS = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?!\.?\d)")

#: What is taken out of a text before its words are weighed: codes, which may stand on each line of it; addresses and
#: links, whose words say nothing.
_NOISE = re.compile(
    r"https?://\S+"
    r"|(?<![^\s<>()\[\]\"',;:@])[^\s<>()\[\]\"',;:@]+@[^\s<>()\[\]\"',;:@]+|(?<![\d.])[245]\d\d[- ](?=#?\(?[245]\.\d)"
    r"|#?(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?!\.?\d)|(?<![\w.])[45]\d\d-|[<>\"()\[\]]"
)
_BLANKS = re.compile(r"\s+")

#: Characters of a text that are weighed.
LONGEST = 4000


def _pattern(words: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile("|".join(words), re.IGNORECASE) if words else None


def _matcher(wanted: str) -> re.Pattern[str] | None:
    """Codes with `*` for any number, as what a code must be one of."""
    parts = [re.escape(part).replace(r"\*", r"\d+") for part in wanted.split()]
    return re.compile("|".join(parts)) if parts else None


@cache
def _compiled() -> list[tuple[About, re.Pattern[str] | None, re.Pattern[str] | None, re.Pattern[str] | None]]:
    """The table, compiled once something was answered: commands that send nothing need not wait for it."""
    return [(row.about, _matcher(row.codes), _matcher(row.statuses), _pattern(row.words)) for row in TABLE]


def about(code: int | None, text: str, *, stage: Stage, status: str | None = None) -> About:
    """What an answer is about: its reply code, its words, and what a report names as its status besides.

    At the end of the data a mailbox is believed to be missing only if words say so; before a recipient was named, no
    answer is about one, nor about our sender before that was named.
    """
    found = tuple(dict.fromkeys(([status] if status else []) + STATUS.findall(text)))
    words = _BLANKS.sub(" ", _NOISE.sub(" ", text[:LONGEST].replace("’", "'"))).strip(" .:;,-")
    judged = _by_table(code, found, words)
    if stage in {Stage.CONNECT, Stage.MAIL} and judged not in _BEFORE_RECIPIENT:
        if not permanent(code, text, status):
            return About.ROUTE  # the server has trouble of its own: its disk, its load
        return About.SENDER if stage is Stage.MAIL else About.POLICY
    if stage is Stage.END and judged is About.MAILBOX and _by_table(code, (), words) is not About.MAILBOX:
        return About.UNCLEAR
    return judged


def permanent(code: int | None, text: str, status: str | None = None) -> bool:
    """Whether an answer is for good: by its reply code, or where there is none by the first enhanced code."""
    if code is not None:
        return code >= 500
    said = status or next(iter(STATUS.findall(text)), "5")
    return said.startswith("5")


@lru_cache(maxsize=256)  # a server says the same to many, apart from the noise
def _by_table(code: int | None, statuses: tuple[str, ...], words: str) -> About:
    said = [*statuses, "none"] if all(one.endswith(".0.0") for one in statuses) else statuses
    number = "" if code is None else str(code)
    for what, codes, enhanced, pattern in _compiled():
        if codes is not None and not codes.fullmatch(number):
            continue
        if enhanced is not None and not any(enhanced.fullmatch(one) for one in said):
            continue
        if pattern is None or pattern.search(words):
            return what
    return About.UNCLEAR


def table() -> Iterator[str]:
    """The table, as `docs/answers.md` shows it: one line for each row."""
    for row in TABLE:
        cells = (row.codes or "any", row.statuses or "any", " ".join(f"`{word}`" for word in row.words) or "any")
        yield f"| {cells[0]} | {cells[1]} | {cells[2].replace('|', chr(92) + '|')} | {row.about.value} |"
