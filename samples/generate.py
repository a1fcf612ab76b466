"""The sample organisation: a fixed file of CloudEvents, as a learning platform would send them.

    python -m samples.generate > samples/demo.jsonl

Every run writes the same bytes, so the demo can be compared with what `expected` says it must lead to. Besides the
ordinary life of an organisation the file holds what a real one sends too: the same start twice, the same line twice,
starts by learners who are inactive, and lines that nobody can take.
"""

import json
import random
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

Event = dict[str, object]

SEED = 20260901
SOURCE = "urn:platform:demo"
ORGANISATION = "aurora"
UNKNOWN_ORGANISATION = "borealis"
COURSE = "fire-safety"  # the one course for everyone, and the one that is started
UNKNOWN_COURSE = "no-such-course"
ANNOUNCEMENT = "welcome"

REACTIVATED = "L0042"  # inactive with an address; comes back, then starts
REACTIVATED_BY_USERNAME = "L0077"  # inactive without an address; comes back, so the admins get a password notice
DEACTIVATED = "L0100"  # active with an address, starts nothing; made inactive near the end
LATECOMER = "L2001"  # created after the course for everyone

LEARNERS = 2_000
INACTIVE = 120
WITHOUT_ADDRESS = 80
INACTIVE_WITHOUT_ADDRESS = 10
STARTERS = 300
REPEATED_STARTS = 40  # the same start under a new event id
DUPLICATE_LINES = 10  # the same line again, event id and all
INACTIVE_STARTS = 3
COMPLETIONS = 60

LAST_MOMENT = "2026-11-20T23:59:59Z"  # whatever says it happened later has a wrong clock

SEGMENTS = {
    "nurses": ("Nurses & care staff", 600),
    "sales": ("Sales", 450),
    "warehouse": ("Warehouse – day and night shift", 400),
    "managers": ("Managers", 150),
    "newcomers": ("Newcomers 2026", 250),
}
COURSES: tuple[tuple[str, str, int, str, bool], ...] = (  # course, title, cost, method, on hold
    (COURSE, "Fire safety at work", 1, "everyone", False),
    ("privacy", "Privacy & data protection – basics", 2, "manual", False),
    ("leadership", "Leading a team", 5, "manual", False),
    ("archive", "Working with the old archive", 1, "manual", True),
)
SUBJECT = 'Autumn programme, {{ first_name | default: "there" }}'
BODY = """\
Hello {{ first_name | default: "there" }},

The **autumn programme** is open. This is what is new:

- *Fire safety at work* – for everyone, about 20 minutes
- *Privacy & data protection – basics* – ask your manager
- *Leading a team* – for those who lead one, or are about to

Questions? Answer this message, and the people of Aurora Learning will help you. See you in class!
"""


class Culture(NamedTuple):
    """Names that belong together; each field is a list separated by a comma and a space."""

    zones: str
    first: str
    last: str


CULTURES = {
    "en": Culture(
        "Europe/London, Europe/Dublin, America/New_York, Australia/Sydney",
        "Olivia, James, Aoife, Niamh, Seán, Grace, Kwame, Emily, Jack, Zoë, Ciarán, Mary-Jane",
        "Smith, O'Brien, O’Neill, Fitzgerald, D'Souza, Okafor, Taylor-Jones, McCarthy, Ó Súilleabháin, Ng, Patel",
    ),
    "nl": Culture(
        "Europe/Amsterdam, Europe/Brussels",
        "Sanne, Daan, Fleur, Bram, Noël, Maartje, Jeroen, Anouk, Thijs, Loïs",
        "de Vries, van den Berg, Jansen, 't Hart, van 't Hoff, IJsbrandy, Bakker, de Coninck, Hoekstra, Smeets",
    ),
    "fr": Culture(
        "Europe/Paris, America/Montreal, Europe/Brussels",
        "Chloé, Benoît, Anaïs, François, Hélène, Jean-Luc, Maëlys, Théo, Inès, Gaël",
        "Lefèvre, d'Aubigné, Müller-Roux, Garçon, L'Hôpital, Bœuf, Martin, Châtelain, Nguyên, Saint-Exupère",
    ),
    "de": Culture(
        "Europe/Berlin, Europe/Vienna, Europe/Zurich",
        "Jürgen, Anja, Björn, Käthe, Lukas, Sören, Ulrike, Matthias, Zoë, Hans-Peter",
        "Müller, Groß, von der Heide, Schäfer, Weiß, Köhler, Schmidt, Özgür-Braun, Strauß, zu Löwenstein",
    ),
    "pl": Culture(
        "Europe/Warsaw",
        "Małgorzata, Łukasz, Zofia, Paweł, Agnieszka, Michał, Świętosława, Jędrzej, Żaneta, Krzysztof",
        "Kowalska, Wójcik, Żółkiewski, Brzęczyszczykiewicz, Łuczak, Dąbrowska, Nowak, Ćwik, Śliwa, Gżegżółka",
    ),
    "tr": Culture(
        "Europe/Istanbul",
        "Ayşe, İbrahim, Çağla, Işıl, Mehmet, Gülşen, Oğuz, Şebnem, Ümit, Irmak",
        "Yılmaz, Öztürk, Çelik, Şahin, Kılıç, Doğan, Işık, Aydın, İnönü, Güneş",
    ),
    "el": Culture(
        "Europe/Athens, Asia/Nicosia",
        "Γιώργος, Ελένη, Νίκος, Αικατερίνη, Σωτήρης, Δήμητρα, Χρήστος, Ιωάννα, Οδυσσέας, Φωτεινή",
        "Παπαδόπουλος, Αγγελοπούλου, Ιωαννίδης, Οικονόμου, Χατζής, Μακρή, Βλάχος, Ζαχαρίου, Καζαντζίδης, Ψαράς",
    ),
    "uk": Culture(
        "Europe/Kyiv",
        "Олександр, Їванна, Сергій, Наталія, Дмитро, Єлизавета, Мар'яна, Андрій, Фёдор, Татьяна",
        "Шевченко, Коваленко, Ґалаґан, Бойко, Лук'яненко, Ющенко, Мельник, Соловьёва, Щербакова, Кузнецов",
    ),
    "ar": Culture(
        "Africa/Cairo, Asia/Riyadh, Africa/Casablanca, Asia/Dubai",
        "محمد, فاطمة, أحمد, عائشة, يوسف, مريم, خالد, نور, عبد الرحمن, ليلى",
        "الهاشمي, بن علي, المصري, حداد, العلوي, خوري, السيد, النجار, أبو زيد, القحطاني",
    ),
    "he": Culture(
        "Asia/Jerusalem",
        "נועה, יוסף, תמר, דוד, שירה, איתי, מיכל, אברהם, רבקה, עומר",
        "כהן, לוי, בן־דוד, מזרחי, פרץ, אברהם, שפירא, ביטון, גולדשטיין, צ'רניחובסקי",
    ),
    "hi": Culture(
        "Asia/Kolkata",
        "आरव, प्रिया, अर्जुन, दीपिका, कृष्ण, लक्ष्मी, संजय, श्रेया, विक्रम, ज्योति",
        "शर्मा, वर्मा, सिंह, गुप्ता, अय्यर, मिश्रा, चतुर्वेदी, पटेल, द्विवेदी, जोशी",
    ),
    "zh-CN": Culture(
        "Asia/Shanghai, Asia/Singapore",
        "伟, 芳, 娜, 秀英, 子轩, 雨桐, 浩然, 静怡, 国强, 梓涵",
        "王, 李, 张, 刘, 陈, 欧阳, 司马, 赵, 诸葛, 𠮷",
    ),
    "ja": Culture(
        "Asia/Tokyo",
        "陽葵, 蓮, さくら, 大翔, エミリー, 翔太, 美咲, 健一, ひなた, 結衣",
        "佐藤, 鈴木, 髙橋, 田中, 渡邉, 小野寺, 山﨑, 佐々木, 長谷川, 勅使河原",
    ),
    "ko": Culture(
        "Asia/Seoul",
        "민준, 서연, 지우, 하은, 도윤, 수빈, 예준, 지민, 현우, 아름",
        "김, 이, 박, 최, 정, 남궁, 황보, 선우, 제갈, 강",
    ),
    "vi": Culture(
        "Asia/Ho_Chi_Minh",
        "Thị Hương, Văn Đức, Minh Anh, Quốc Bảo, Ngọc Diệp, Thuỳ Trang, Đình Phúc, Hữu Nghĩa, Bích Ngọc, Tuấn Kiệt",
        "Nguyễn, Trần, Lê, Phạm, Hoàng, Vũ, Đặng, Bùi, Đỗ, Hồ",
    ),
}
SPECIAL_NAMES = {  # locale, first, last: names that break careless code
    42: ("en", "Siobhán", "O'Brien"),
    77: ("tr", "Işıl", "Çağlayan"),
    100: ("nl", "Maartje", "van 't Hoff"),
    200: ("en", 'Robert "Bob"', "Fletcher"),
    201: ("en", "Martin", "King, Jr."),
    202: ("en", "Adaeze", "Okafor, PhD"),
    203: ("en", "Anne & Co", "<Null>"),
    204: (
        "nl",
        "Wilhelmina Petronella Adriana Johanna Cornelia Margaretha",
        "van Oldenbarnevelt-Schimmelpenninck van der Oije tot den Hoogenhuijzen en Klein-Zuijlichem",
    ),
    2001: ("en", "Zoë", "Adeyemi-O'Neill"),
}
ASCII = str.maketrans({"ł": "l", "đ": "d", "ı": "i", "ß": "ss", "œ": "oe", "ø": "o"})
DOMAINS = ("example.org", "example.com", "example.net")
ADDRESS_WITH_TAG_EVERY = 250


def learner_id(number: int) -> str:
    """The platform's id of the learner with this number: L0001."""
    return f"L{number:04d}"


def _pick(rng: random.Random, text: str) -> str:
    return rng.choice(text.split(", "))


def _slug(name: str) -> str:
    """The ASCII letters of a name in Latin script; empty for any other script."""
    plain = unicodedata.normalize("NFKD", name.lower().translate(ASCII))
    return "".join(letter for letter in plain if "a" <= letter <= "z")[:24]


class Platform:
    """The pretended sender: numbers its events, and has a clock that only moves forward."""

    def __init__(self) -> None:
        self.rng = random.Random(SEED)  # noqa: S311 - sample data has to be the same each time, not secret
        self.now = datetime(2026, 9, 1, 8, tzinfo=UTC)
        self.sent = 0

    def until(self, month: int, day: int) -> None:
        """Moves the clock on to 09:00 of that day; a day that has passed is a mistake in this file."""
        moment = datetime(2026, month, day, 9, tzinfo=UTC)
        if moment <= self.now:
            raise ValueError(f"the sample's clock cannot go back to {moment:%d %B}")
        self.now = moment

    def event(self, kind: str, data: dict[str, object], *, organisation: str = ORGANISATION, pause: int = 60) -> Event:
        """An event of type `platform.KIND` that happens up to `pause` seconds after the one before it."""
        self.now += timedelta(seconds=self.rng.randint(1, pause))
        self.sent += 1
        return {
            "specversion": "1.0",
            "id": f"demo-{self.sent:06d}",
            "source": SOURCE,
            "type": f"platform.{kind}",
            "time": f"{self.now:%Y-%m-%dT%H:%M:%SZ}",
            "organisation": organisation,
            "datacontenttype": "application/json",
            "data": data,
        }

    def learner(self, number: int, *, active: bool, address: bool) -> dict[str, object]:
        """The data of a learner.saved: a name, and a locale and time zone that go with it."""
        locale = self.rng.choice(list(CULTURES))
        first, last = _pick(self.rng, CULTURES[locale].first), _pick(self.rng, CULTURES[locale].last)
        locale, first, last = SPECIAL_NAMES.get(number, (locale, first, last))
        username = ".".join(part for part in (_slug(first) or "learner", _slug(last), f"{number:04d}") if part)
        tag = "+training" if number % ADDRESS_WITH_TAG_EVERY == 0 else ""
        return {
            "learner": learner_id(number),
            "username": username,
            "email": f"{username}{tag}@{self.rng.choice(DOMAINS)}" if address else None,
            "first_name": first,
            "last_name": last,
            "locale": locale,
            "time_zone": _pick(self.rng, CULTURES[locale].zones),
            "status": "active" if active else "inactive",
            "version": 1,
        }

    def start(self, learner: str, course: str = COURSE) -> Event:
        """A start in cycle 1; half of them leave the cycle out, which means the same."""
        cycle: dict[str, object] = {"cycle": 1} if self.rng.random() < 0.5 else {}
        return self.event("course.started", {"learner": learner, "course": course, **cycle}, pause=5_000)


def events() -> Iterator[Event]:
    """Every event of the sample, in the order of the file. Times grow strictly, except that a line sent twice is
    followed at once by its copy."""
    platform = Platform()
    rng = platform.rng
    known = {int(learner[1:]) for learner in (REACTIVATED, REACTIVATED_BY_USERNAME, DEACTIVATED)}
    others = [number for number in range(1, LEARNERS + 1) if number not in known]
    idle = rng.sample(others, INACTIVE - 2)  # besides REACTIVATED and REACTIVATED_BY_USERNAME
    busy = sorted(set(others) - set(idle))
    inactive = {int(REACTIVATED[1:]), int(REACTIVATED_BY_USERNAME[1:]), *idle}
    no_address = {
        int(REACTIVATED_BY_USERNAME[1:]),
        *rng.sample(idle, INACTIVE_WITHOUT_ADDRESS - 1),
        *rng.sample(busy, WITHOUT_ADDRESS - INACTIVE_WITHOUT_ADDRESS),
    }

    yield from _organisation(platform)
    for number in range(1, LEARNERS + 1):
        learner = platform.learner(number, active=number not in inactive, address=number not in no_address)
        yield platform.event("learner.saved", learner)
    yield from _memberships(platform)
    platform.until(9, 10)
    for course, title, cost, method, on_hold in COURSES:
        data = {"course": course, "title": title, "cost": cost, "on_hold": on_hold, "method": method, "segments": []}
        yield platform.event("course.saved", data)
    platform.until(9, 11)
    yield platform.event("learner.saved", platform.learner(int(LATECOMER[1:]), active=True, address=True))

    starters = [learner_id(number) for number in rng.sample(busy, STARTERS)]
    yield from _starts(platform, starters, [learner_id(number) for number in rng.sample(idle, INACTIVE_STARTS)])
    yield from _completions(platform, starters)
    yield from _announcement(platform)
    yield from _changes_of_status(platform)
    yield from _bad_lines(platform)


def _organisation(platform: Platform) -> Iterator[Event]:
    organisation: dict[str, object] = {
        "name": "Aurora Learning",
        "licence": "credits",
        "pool": 5_000,
        "licence_starts": "2026-01-01",
        "licence_ends": "2026-12-31",
        "admin_emails": ["admin@example.org", "training.office@example.org"],
        "reactivation_digest": False,
    }
    yield platform.event("organisation.saved", organisation)
    for segment, (name, _) in SEGMENTS.items():
        yield platform.event("segment.saved", {"segment": segment, "name": name})


def _memberships(platform: Platform) -> Iterator[Event]:
    """Segments overlap, and hold inactive learners as well: a learner stays in its segments while inactive."""
    for segment, (_, size) in SEGMENTS.items():
        members = [learner_id(number) for number in platform.rng.sample(range(1, LEARNERS + 1), size)]
        for at in range(0, size, 200):
            yield platform.event("segment.joined", {"segment": segment, "learners": sorted(members[at : at + 200])})


def _starts(platform: Platform, starters: list[str], idle: list[str]) -> Iterator[Event]:
    """Starts as they come in: some of them a second time, some lines twice, some by learners who are inactive."""
    rng = platform.rng
    chosen = rng.sample(starters, REPEATED_STARTS + DUPLICATE_LINES)
    repeated, sent_twice = chosen[:REPEATED_STARTS], chosen[REPEATED_STARTS:]
    queue = [*starters, *repeated, *idle]
    rng.shuffle(queue)
    platform.until(9, 14)
    for learner in queue:
        event = platform.start(learner)
        yield event
        if learner in sent_twice:
            yield event


def _completions(platform: Platform, starters: list[str]) -> Iterator[Event]:
    platform.until(10, 12)
    for learner in platform.rng.sample(starters, COMPLETIONS):
        score = platform.rng.randint(40, 100)
        data = {
            "learner": learner,
            "course": COURSE,
            "cycle": 1,
            "result": "passed" if score >= 60 else "failed",
            "score": score,
        }
        yield platform.event("course.completed", data, pause=20_000)


def _announcement(platform: Platform) -> Iterator[Event]:
    platform.until(11, 2)
    data: dict[str, object] = {
        "announcement": ANNOUNCEMENT,
        "subject": SUBJECT,
        "body": BODY,
        "audience": {"everyone": True},
        "send_at": None,
        "time_zone": "Europe/Amsterdam",
    }
    yield platform.event("announcement.requested", data)


def _changes_of_status(platform: Platform) -> Iterator[Event]:
    """Two learners come back, one leaves; then one of those who came back starts, which counts."""
    platform.until(11, 9)
    for learner, status in ((REACTIVATED, "active"), (REACTIVATED_BY_USERNAME, "active"), (DEACTIVATED, "inactive")):
        yield platform.event("learner.status_changed", {"learner": learner, "status": status, "version": 2})
    platform.until(11, 10)
    yield platform.start(REACTIVATED)


def _bad_lines(platform: Platform) -> Iterator[Event]:
    """JSON, but nothing that can be taken: each must end in quarantine, and hold up nothing."""
    platform.until(11, 16)
    somebody = platform.learner(LEARNERS + 2, active=True, address=True)
    yield platform.event("learner.saved", {**somebody, "learner": LEARNERS + 2})
    yield platform.start(LATECOMER, UNKNOWN_COURSE)
    yield platform.event("learner.saved", {**somebody, "learner": "B0001"}, organisation=UNKNOWN_ORGANISATION)
    yield platform.event("learner.promoted", {"learner": LATECOMER})
    yield {**platform.start(LATECOMER), "time": "2099-01-01T00:00:00Z"}


@dataclass(frozen=True)
class Expected:
    """What the sample must lead to, whoever works through it."""

    learners: int
    inactive_at_course: int
    active_with_address_at_course: int
    no_address_active_at_course: int
    starters_charged: int
    inactive_starts: int
    announcement_recipients: int
    announcement_skipped_inactive: int
    announcement_skipped_no_address: int
    duplicate_lines: int
    bad_lines: int


class Audience(NamedTuple):
    """The learners of one moment; inactive comes before every other reason."""

    reachable: int
    inactive: int
    no_address: int


def _audience(active: dict[str, bool], address: dict[str, bool]) -> Audience:
    reachable = sum(active[learner] and address[learner] for learner in active)
    inactive = sum(not is_active for is_active in active.values())
    return Audience(reachable, inactive, len(active) - reachable - inactive)


def _is_bad(event: Event, courses: set[str], types: set[str]) -> bool:
    data: Any = event["data"]
    return (
        event["organisation"] != ORGANISATION
        or event["type"] not in types
        or str(event["time"]) > LAST_MOMENT
        or not isinstance(data.get("learner", ""), str)
        or (event["type"] == "platform.course.started" and data["course"] not in courses)
    )


def expected() -> Expected:
    """Counts by the plainest reading of the rules, one event after the other, so that it can be checked by eye."""
    nouns = {"organisation.saved", "learner.saved", "segment.saved", "course.saved", "segment.joined"}
    verbs = {"learner.status_changed", "course.started", "course.completed", "announcement.requested"}
    types = {f"platform.{kind}" for kind in nouns | verbs}
    active: dict[str, bool] = {}
    address: dict[str, bool] = {}
    courses: set[str] = set()
    seen: set[object] = set()
    charged: set[str] = set()
    inactive_starts = duplicates = bad = 0
    at_course = at_announcement = Audience(0, 0, 0)
    for event in events():
        data: Any = event["data"]
        if event["id"] in seen:
            duplicates += 1
            continue
        seen.add(event["id"])
        if _is_bad(event, courses, types):
            bad += 1
            continue
        match event["type"]:
            case "platform.learner.saved":
                active[data["learner"]] = data["status"] == "active"
                address[data["learner"]] = data["email"] is not None
            case "platform.learner.status_changed":
                active[data["learner"]] = data["status"] == "active"
            case "platform.course.saved":
                courses.add(data["course"])
                if data["course"] == COURSE:
                    at_course = _audience(active, address)
            case "platform.course.started" if active[data["learner"]]:
                charged.add(data["learner"])
            case "platform.course.started":
                inactive_starts += 1
            case "platform.announcement.requested":
                at_announcement = _audience(active, address)
    return Expected(
        learners=len(active),
        inactive_at_course=at_course.inactive,
        active_with_address_at_course=at_course.reachable,
        no_address_active_at_course=at_course.no_address,
        starters_charged=len(charged),
        inactive_starts=inactive_starts,
        announcement_recipients=at_announcement.reachable,
        announcement_skipped_inactive=at_announcement.inactive,
        announcement_skipped_no_address=at_announcement.no_address,
        duplicate_lines=duplicates,
        bad_lines=bad,
    )


def main() -> None:
    """Writes the file to standard output, in UTF-8 whatever the locale."""
    for event in events():
        line = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        sys.stdout.buffer.write(line.encode() + b"\n")


if __name__ == "__main__":
    main()
