"""Who is inactive, in the columns and words of the systems that people come from (R2).

Whoever is called inactive by any column is. What a column says that is not known is an error of its line.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class PreviousStatus(StrEnum):
    """The statuses of previous systems that are known, whatever their case, spaces, dashes and accents (R2)."""

    ACTIVE = "active"
    ENABLED = "enabled"
    INVITED = "invited"
    NEW = "new"
    PENDING = "pending"
    REGISTERED = "registered"
    EMPLOYED = "employed"
    HIRED = "hired"
    FULL_TIME = "full time"
    PART_TIME = "part time"
    STAGED = "staged"
    PROVISIONED = "provisioned"
    RECOVERY = "recovery"
    LOCKED_OUT = "locked out"
    PASSWORD_EXPIRED = "password expired"  # noqa: S105 - a status of Okta
    INACTIVE = "inactive"
    NOT_ACTIVE = "not active"
    SUSPENDED = "suspended"
    LONG_TERM_LEAVE = "long term leave"
    LEAVE = "leave"
    ON_LEAVE = "on leave"
    LEAVE_OF_ABSENCE = "leave of absence"
    PAID_LEAVE = "paid leave"
    UNPAID_LEAVE = "unpaid leave"
    PARENTAL_LEAVE = "parental leave"
    MATERNITY_LEAVE = "maternity leave"
    PATERNITY_LEAVE = "paternity leave"
    MEDICAL_LEAVE = "medical leave"
    SICK_LEAVE = "sick leave"
    LONG_TERM_SICK = "long term sick"
    SABBATICAL = "sabbatical"
    DISABLED = "disabled"
    DEACTIVATED = "deactivated"
    DEPROVISIONED = "deprovisioned"
    BLOCKED = "blocked"
    BANNED = "banned"
    LOCKED = "locked"
    EXPIRED = "expired"
    CLOSED = "closed"
    ARCHIVED = "archived"
    DELETED = "deleted"
    TO_BE_DELETED = "to be deleted"
    REMOVED = "removed"
    TERMINATED = "terminated"
    OFFBOARDED = "offboarded"
    RESIGNED = "resigned"
    RETIRED = "retired"
    DECEASED = "deceased"
    LEFT = "left"
    LEAVER = "leaver"
    FORMER = "former"


_ACTIVE = {
    PreviousStatus.ACTIVE, PreviousStatus.ENABLED, PreviousStatus.INVITED, PreviousStatus.NEW, PreviousStatus.PENDING,
    PreviousStatus.REGISTERED, PreviousStatus.EMPLOYED, PreviousStatus.HIRED,
    PreviousStatus.FULL_TIME, PreviousStatus.PART_TIME, PreviousStatus.STAGED, PreviousStatus.PROVISIONED,
    PreviousStatus.RECOVERY, PreviousStatus.LOCKED_OUT, PreviousStatus.PASSWORD_EXPIRED,
}  # fmt: skip

#: Those that are imported as inactive; every other known one is imported as active (R2). Whoever was deleted elsewhere,
#: or is to be, comes in as inactive, too: an import erases nobody, and makes nobody active whom a file calls gone.
INACTIVE = frozenset(PreviousStatus) - _ACTIVE

#: In other words, and in Dutch, French, German, Spanish, Italian and Portuguese, where they have a word of their own.
_ACTIVE_ABROAD = """
    actief ingeschakeld uitgenodigd geregistreerd indienst actif activee actifve invite enposte aktiv aktiviert
    eingeladen registriert beschaftigt activo activa habilitado habilitada invitado attivo attiva ativo ativa
"""
_INACTIVE_ABROAD = """
    nonactive nolongeractive notenabled notemployed nolongeremployed exemployee formeremployee
    inactief nietactief nonactief geschorst opgeschort gedeactiveerd uitgeschakeld geblokkeerd gearchiveerd verwijderd
    uitdienst metverlof langdurigverlof langdurigafwezig langdurigziek zwangerschapsverlof ouderschapsverlof
    inactif nonactif suspendu suspendue desactive desactivee bloque bloquee archive archivee supprime supprimee parti
    partie sorti sortie enconge congelongueduree congedelongueduree longuemaladie congeparental congematernite
    inaktiv nichtaktiv suspendiert gesperrt deaktiviert geloscht archiviert beurlaubt ausgeschieden ausgetreten
    elternzeit mutterschutz langzeitkrank langzeitabwesend ruhend
    inactivo inactiva noactivo suspendido suspendida desactivado desactivada deshabilitado bloqueado bloqueada eliminado
    eliminada archivado archivada baja debaja excedencia
    inattivo inattiva sospeso sospesa disattivato eliminato inativo inativa suspenso suspensa desativado
"""

_YES = frozenset(
    """
    true yes y 1 10 t x on ja j oui o vrai wahr si verdadero waar vero sim ✓ ✔ ☑ ☒
    """.split()  # noqa: SIM905 - read more easily
)
NO = frozenset(
    """
    false no n 0 00 f off nee nein non faux falsch falso onwaar nao ✗ ✘ ☐
    """.split()  # noqa: SIM905
)

#: Where there is but a date: these mean that there is none.
NO_DATE = frozenset({"never", "none", "null", "na", "nooit", "jamais", "nie", "nunca", "9223372036854775807"})

#: The control that disables an account in Active Directory's userAccountControl (ACCOUNTDISABLE).
_ACCOUNT_DISABLED = 0x2


class Says(StrEnum):
    """How a column says who is inactive. A person names it in `--map`."""

    STATUS = "status"  #: in words
    ACTIVE = "active"  #: yes means active
    INACTIVE = "inactive"  #: yes means inactive
    ENDED = "ended"  #: a date on which somebody became inactive, or will
    SIGN_IN = "sign-in"  #: Moodle's `auth`: `nologin` means inactive, anything else nothing
    CONTROL = "control"  #: Active Directory's userAccountControl


#: The columns that say it, under the names that systems give them: without case, accents, spaces and punctuation.
_COLUMNS = {
    Says.STATUS: """
        status userstatus accountstatus learnerstatus employmentstatus employeestatus workerstatus personstatus
        memberstatus membershipstatus lifecyclestatus staffstatus studentstatus loginstatus hrstatus jobstatus
        assignmentstatus recordstatus rowstatus statut statututilisateur estado stato situacion medewerkerstatus
        gebruikerstatus gebruikersstatus accountstate userstate employmentstate
    """,
    Says.ACTIVE: """
        active isactive useractive accountactive activeuser activeaccount activestatus activeemployee activeyn
        activeflag enabled isenabled userenabled enableduser enabledaccount accountenabled loginenabled signinenabled
        signinallowed loginallowed canlogin currentemployee isemployed employed available isavailable availableind
        actief ingeschakeld actif aktiv aktiviert activo habilitado attivo ativo
    """,
    Says.INACTIVE: """
        inactive isinactive userinactive suspended issuspended usersuspended accountsuspended suspendeduser deleted
        isdeleted userdeleted deleteduser accountdeleted disabled isdisabled userdisabled accountdisabled disableduser
        deactivated isdeactivated userdeactivated accountdeactivated blocked isblocked userblocked accountblocked
        signinblocked blockcredential blocksignin loginblocked loginblockedbyadmin loginsuspended suspensionstatus
        locked accountlocked nsaccountlock banned isbanned archived isarchived userarchived terminated isterminated
        employeeterminated onleave isonleave leaveofabsence onleaveofabsence longtermleave isonlongtermleave retired
        offboarded leaver isleaver formeremployee tobedeleted inactief nonactief geschorst geblokkeerd gedeactiveerd
        verwijderd gearchiveerd uitdienst uitgeschakeld inactif suspendu desactive bloque supprime archive inaktiv
        gesperrt deaktiviert geloscht archiviert suspendiert ausgeschieden inactivo suspendido desactivado bloqueado
        eliminado archivado inattivo sospeso inativo suspenso
        notactive notemployed nolongeractive nolongeremployed deprovisioned offboard removed isremoved left hasleft
        dismissed isdismissed quit hasquit resigned hasresigned softdeleted issoftdeleted expired isexpired
        accountexpired userexpired disablelogin disablesignin disableaccount disableuser logindisabled signindisabled
        blocklogin blockuser suspenduser exemployee deceased isdeceased
    """,
    Says.ENDED: """
        deactivationdate deactivatedat deactivatedon deactivateddate dateofdeactivation terminationdate terminatedat
        terminatedon dateoftermination suspendedat suspendedon suspensiondate deletedat deletedon deletiondate
        archivedat archivedon disabledat disabledon deprovisionedat leavingdate dateofleaving dateleft
        employmentenddate accountexpires accountexpirationdate accountexpirydate datumuitdienst uitdienstdatum
        uitdiensttreding austrittsdatum datedesortie datedepart fechadebaja
        terminateddate dateterminated inactivesince inactivedate inactivefrom dateinactive suspendedsince suspendeddate
        datesuspended suspendedfrom deactivatedsince datedeactivated deleteddate datedeleted disabledsince disableddate
        datedisabled archiveddate archivedsince removedat removedon removeddate dateremoved leavedate leftdate lefton
        enddate dateend contractenddate enddatecontract accountenddate employmentend employeeenddate employmentended
        lastworkingday lastdayofwork lastdayworked lastdayofemployment lastday resignationdate resigneddate
        retirementdate retireddate dismissaldate dismisseddate offboardingdate exitdate dateofexit separationdate
        dateofdeath
    """,
    Says.SIGN_IN: "auth authmethod authentication",
    Says.CONTROL: "useraccountcontrol",
}
_SAYS = {name: says for says, names in _COLUMNS.items() for name in names.split()}

#: What says of a status that begins with it that it means inactive, whatever follows; and what in a column that is not
#: used is likely to say that somebody is: it is asked about.
STRONG = (
    "inactive", "suspended", "deactivated", "terminated", "deprovisioned", "offboarded", "to be deleted", "tobedeleted",
    "long term leave", "on leave", "leave of absence", "inactief", "geschorst", "uit dienst", "inactif", "suspendu",
    "inaktiv", "gesperrt", "ausgeschieden", "inactivo", "suspendido",
)  # fmt: skip
STRONG_WORDS = frozenset(phrase.replace(" ", "") for phrase in STRONG)

_LONGEST_STRONG = max(map(len, STRONG_WORDS))

#: What stands between brackets in the name of a column.
BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")

_SEPARATORS = re.compile(r"[\s_.,:;!?*\"/()\[\]'’‐-―-]+")


def plain(text: str) -> str:
    """A name of a column without case, accents, spaces, punctuation and what nobody sees."""
    return "".join(character for character in decomposed(text).casefold() if character.isalnum())


def decomposed(text: str) -> str:
    """A text in the simplest characters that mean the same, most accents left out: to bring many of them on one letter
    into their order (Unicode, NFKD) takes the square of their number."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKD", "".join(c for c in text if not unicodedata.combining(c)))


def begins_strongly(words: Sequence[str]) -> bool:
    """Whether a cell begins with what means inactive, whatever follows: "Suspended by admin"."""
    said = ""
    for word in words:
        said += word
        if said in STRONG_WORDS:
            return True
        if len(said) > _LONGEST_STRONG:
            return False
    return False


def words_of(text: str) -> list[str]:
    """A status, in words without case, accents and what nobody sees."""
    folded = decomposed(text).casefold()
    seen = "".join(c for c in folded if unicodedata.category(c) not in {"Mn", "Cf", "Cc"} or c.isspace())
    return [word for word in _SEPARATORS.split(seen) if word]


_MEANT = (
    {plain(one): one not in INACTIVE for one in PreviousStatus}
    | dict.fromkeys(_ACTIVE_ABROAD.split(), True)
    | dict.fromkeys(_INACTIVE_ABROAD.split(), False)
    | {"a": True, "i": False, "t": False}  # the letters of HR systems
)

#: Where yes means inactive, these may mean that it does not hold any more: "Block sign-in: Disabled".
_MAY_END = frozenset({"disabled", "notenabled", "expired", "closed", "removed", "uitgeschakeld", "deshabilitado"})

#: Statuses that R2 names: nobody can say that they mean active.
GIVEN = frozenset({"suspended", "longtermleave", "inactive"})


#: Words that change nothing about what a column says: "User is active", "Account active status", "Suspended flag".
_FILLERS = frozenset(
    """
    user account is was the a status state flag yn indicator ind learner employee member person staff current currently
    login student trainee code value
    """.split()  # noqa: SIM905
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def says_of(header: str) -> Says | None:
    """How a column of this name says who is inactive, if it does."""
    bare = BRACKETS.sub("", header)
    if found := _SAYS.get(plain(header)) or _SAYS.get(plain(bare)):
        return found
    letters = "".join(c for c in decomposed(bare) if not unicodedata.combining(c))
    words = [plain(word) for word in _WORD.findall(letters)]
    telling = [word for word in words if word not in _FILLERS]
    if len(found_ := {_SAYS.get(word) for word in telling}) == 1:
        found = found_.pop()
        return found if found in {Says.ACTIVE, Says.INACTIVE} else None
    return Says.STATUS if not telling and "status" in words else None


@dataclass(frozen=True, slots=True)
class StatusColumn:
    """A column that says who is inactive: where it is, what it is called, and how it says so."""

    place: int
    name: str
    says: Says


class _CellMeaning(StrEnum):
    """What one cell says."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    NOT_INACTIVE = "not inactive"  #: no tick where one means inactive
    NOTHING = "nothing"
    NEUTRAL = "neutral"  #: a column that speaks only where it means inactive
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class LineStatus:
    """What the cells of a line come to. `active` is None where that is not known; `why` says what was not."""

    active: bool | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Judge:
    """Says of a line's status cells what they come to. `words`: what a person said that a status means, by its
    `status_word`. `otherwise`: what holds where nothing is said."""

    columns: Sequence[StatusColumn]
    words: Mapping[str, bool]
    otherwise: bool | None
    today: date

    def judge(self, cells: Sequence[str]) -> LineStatus:
        """Inactive where any cell says so, else unknown where any is, else active where any says so."""
        said = [self._said(column, cell.strip()) for column, cell in zip(self.columns, cells, strict=True)]
        if _CellMeaning.INACTIVE in said:
            return LineStatus(active=False)
        place = self._unsaid(said)
        if place is not None:
            what = cells[place].strip()[:100] or "it is empty"
            return LineStatus(None, what if len(said) == 1 else f"{self.columns[place].name[:60]}: {what}")
        denied = _CellMeaning.NOT_INACTIVE in said and _CellMeaning.NOTHING not in said
        return LineStatus(True if _CellMeaning.ACTIVE in said or denied else self.otherwise)

    def _unsaid(self, said: Sequence[_CellMeaning]) -> int | None:
        """Where the cell is for whose sake it is not known what the line comes to, if there is one: an empty one is
        where a tick would mean active, unless words say active, and in a column of words where no other says so."""
        if _CellMeaning.UNKNOWN in said:
            return said.index(_CellMeaning.UNKNOWN)
        ticks = [column.says is Says.ACTIVE for column in self.columns]
        in_words = any(each is _CellMeaning.ACTIVE and not tick for each, tick in zip(said, ticks, strict=True))
        if in_words or self.otherwise is not None:
            return None
        silent = (
            place
            for place, each in enumerate(said)
            if each is _CellMeaning.NOTHING and (ticks[place] or _CellMeaning.ACTIVE not in said)
        )
        return next(silent, None)

    def _said(self, column: StatusColumn, cell: str) -> _CellMeaning:
        says, words = column.says, words_of(cell)
        word = "".join(words)
        if word in self.words:
            return _CellMeaning.ACTIVE if self.words[word] else _CellMeaning.INACTIVE
        if says is Says.ENDED:
            return _of_date(cell, word, self.today)
        if says is Says.SIGN_IN:
            return _CellMeaning.INACTIVE if word == "nologin" else _CellMeaning.NEUTRAL
        if not word and not cell.strip(" -–—"):
            return _CellMeaning.NOTHING if says in {Says.STATUS, Says.ACTIVE} else _CellMeaning.NOT_INACTIVE
        if says is Says.CONTROL:
            return _of_control(cell)
        said = _of_words(says, words)
        return said if says is not Says.INACTIVE else _of_opposite(said, word, plain(column.name))


def _of_opposite(said: _CellMeaning, word: str, name: str) -> _CellMeaning:
    """What a cell says where yes means inactive: "Suspension status: Active" may mean that the suspension is."""
    if word in NO_DATE:
        return _CellMeaning.NOT_INACTIVE
    if word.startswith(name):
        return _CellMeaning.INACTIVE  # "Locked: locked out"
    is_open = said is _CellMeaning.ACTIVE or (word in _MAY_END and word not in name)
    return _CellMeaning.UNKNOWN if is_open else said


def _of_words(says: Says, words: Sequence[str]) -> _CellMeaning:
    word = "".join(words)
    if says is not Says.STATUS and word in _YES:
        return _CellMeaning.ACTIVE if says is Says.ACTIVE else _CellMeaning.INACTIVE
    if says is not Says.STATUS and word in NO:
        return _CellMeaning.INACTIVE if says is Says.ACTIVE else _CellMeaning.NOT_INACTIVE
    if word in _MEANT:
        return _CellMeaning.ACTIVE if _MEANT[word] else _CellMeaning.INACTIVE
    if begins_strongly(words):
        return _CellMeaning.INACTIVE  # "Suspended by admin", "Terminated 2024-01-31"
    return _CellMeaning.UNKNOWN


def status_word(status: str) -> str:
    """A status as `Judge.words` has it."""
    return "".join(words_of(status))


def _of_control(cell: str) -> _CellMeaning:
    """A whole number; some write it as 514.0. Of one with an exponent digits are lost."""
    found = re.fullmatch(r"(\d{1,10})(?:[.,]0+)?", cell)
    if not found:
        return _CellMeaning.UNKNOWN
    return _CellMeaning.INACTIVE if int(found[1]) & _ACCOUNT_DISABLED else _CellMeaning.ACTIVE


_ISO = re.compile(r"(\d{4})[-/.]?(\d{2})[-/.]?(\d{2})(?!\d)")
_WITH_YEAR_LAST = re.compile(r"(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4})(?!\d)")


def _of_date(cell: str, word: str, today: date) -> _CellMeaning:
    """Inactive from that day on. A date that may be read in two ways is unknown where that makes a difference."""
    if not word.strip("0") or word in NO_DATE:
        return _CellMeaning.NOT_INACTIVE
    if found := _ISO.match(cell):
        year, month, day = map(int, found.groups())
        ways = [(year, month, day)]
    elif found := _WITH_YEAR_LAST.match(cell):
        first, second, year = map(int, found.groups())
        ways = [(year, second, first), (year, first, second)]
    else:
        return _CellMeaning.UNKNOWN
    said = {
        _CellMeaning.INACTIVE if date(*way) <= today else _CellMeaning.NOT_INACTIVE for way in ways if _is_date(*way)
    }
    return said.pop() if len(said) == 1 else _CellMeaning.UNKNOWN


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
