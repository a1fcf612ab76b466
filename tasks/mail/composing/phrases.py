"""Our own words, in every language we speak.

They are written in the merge language. Besides its fields they may hold the figures of a mail, `{used}`; a test sees to
it that each language says all of what English says. A language is complete or it does not run: every phrase is a field.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Notice:
    """The words of one kind of notice."""

    subject: str
    opening: str
    closing: str


@dataclass(frozen=True, slots=True)
class Language:
    """Everything we say in one language; `direction` is ltr or rtl, `thousands` stands between the digits of 1,000."""

    code: str
    direction: str
    thousands: str
    learner_greeting: str
    admin_greeting: str
    learner_footer: str
    admin_footer: str
    unsubscribe: str
    enrolment: Notice
    digest: Notice
    password: Notice
    seats_low: Notice
    seats_spent: Notice
    credits_low: Notice
    credits_spent: Notice


#: The language of whoever speaks none of ours, and of organisations, which have none.
FALLBACK = "en"

LANGUAGES: Mapping[str, Language] = {
    "en": Language(
        code="en",
        direction="ltr",
        thousands=",",
        learner_greeting='Hello {{ first_name | default: "there" }},',
        admin_greeting="Hello,",
        learner_footer="You receive this as a learner of {{ organisation }}.",
        admin_footer="You receive this as an admin of {{ organisation }}.",
        unsubscribe="Unsubscribe from announcements",
        enrolment=Notice(
            subject="You have been enrolled at {{ organisation }}",
            opening="You have been enrolled in the following:",
            closing="Sign in as usual to begin.",
        ),
        digest=Notice(
            subject="What is open to you at {{ organisation }}",
            opening="Welcome back. The following has become available to you:",
            closing="Sign in as usual to begin.",
        ),
        password=Notice(
            subject="Temporary passwords to set at {{ organisation }}",
            opening="These learners sign in by username and are active again. Their earlier passwords are void.",
            closing="Please set a temporary password for each of them and hand it over.",
        ),
        seats_low=Notice(
            subject="{percent}% of the seats of {{ organisation }} are in use",
            opening="In use: {used} of your {pool} seats; left in this licence period: {left}.",
            closing="A seat is used when a learner starts a first course. If you expect more learners, now is a good"
            " time to extend your licence.",
        ),
        seats_spent=Notice(
            subject="All seats of {{ organisation }} are in use",
            opening="Seats in use: {used}, of a licence for {pool}.",
            closing="Nobody is kept from learning: whoever starts a first course from now on is recorded as going past"
            " your licence. Please extend it.",
        ),
        credits_low=Notice(
            subject="{percent}% of the credits of {{ organisation }} are used",
            opening="Used: {used} of your {pool} credits; left in this licence period: {left}.",
            closing="Credits are used when a learner starts a course. If you expect more courses to be started, now is"
            " a good time to extend your licence.",
        ),
        credits_spent=Notice(
            subject="All credits of {{ organisation }} are used",
            opening="Credits used: {used}, of a licence for {pool}.",
            closing="Nobody is kept from learning: each course that is started from now on is recorded as going past"
            " your licence. Please extend it.",
        ),
    ),
    "nl": Language(
        code="nl",
        direction="ltr",
        thousands=".",
        learner_greeting='Beste {{ first_name | default: "cursist" }},',
        admin_greeting="Beste beheerder,",
        learner_footer="Je ontvangt dit bericht als cursist van {{ organisation }}.",
        admin_footer="Je ontvangt dit bericht als beheerder van {{ organisation }}.",
        unsubscribe="Afmelden voor aankondigingen",
        enrolment=Notice(
            subject="Je bent ingeschreven bij {{ organisation }}",
            opening="Je bent ingeschreven voor:",
            closing="Log in zoals je gewend bent om te beginnen.",
        ),
        digest=Notice(
            subject="Dit staat voor je klaar bij {{ organisation }}",
            opening="Welkom terug. Dit is voor je beschikbaar gekomen:",
            closing="Log in zoals je gewend bent om te beginnen.",
        ),
        password=Notice(
            subject="Tijdelijke wachtwoorden nodig bij {{ organisation }}",
            opening="Deze cursisten loggen in met een gebruikersnaam en zijn weer actief. Hun eerdere wachtwoorden zijn"
            " vervallen.",
            closing="Stel voor ieder van hen een tijdelijk wachtwoord in en geef het door.",
        ),
        seats_low=Notice(
            subject="{percent}% van de plaatsen van {{ organisation }} is in gebruik",
            opening="In gebruik: {used} van je {pool} plaatsen; over in deze licentieperiode: {left}.",
            closing="Een plaats wordt gebruikt zodra een cursist een eerste cursus start. Verwacht je meer cursisten,"
            " dan is dit een goed moment om je licentie uit te breiden.",
        ),
        seats_spent=Notice(
            subject="Alle plaatsen van {{ organisation }} zijn in gebruik",
            opening="Plaatsen in gebruik: {used}, bij een licentie voor {pool}.",
            closing="Iedereen kan blijven leren: wie vanaf nu een eerste cursus start, wordt geregistreerd als"
            " overschrijding van je licentie. Breid die alsjeblieft uit.",
        ),
        credits_low=Notice(
            subject="{percent}% van de credits van {{ organisation }} is verbruikt",
            opening="Verbruikt: {used} van je {pool} credits; over in deze licentieperiode: {left}.",
            closing="Credits worden verbruikt zodra een cursist een cursus start. Verwacht je dat er meer cursussen"
            " worden gestart, dan is dit een goed moment om je licentie uit te breiden.",
        ),
        credits_spent=Notice(
            subject="Alle credits van {{ organisation }} zijn verbruikt",
            opening="Credits verbruikt: {used}, bij een licentie voor {pool}.",
            closing="Iedereen kan blijven leren: elke cursus die vanaf nu wordt gestart, wordt geregistreerd als"
            " overschrijding van je licentie. Breid die alsjeblieft uit.",
        ),
    ),
    # French puts a space that does not break before a colon and a per cent sign (U+00A0), and a narrow one before a
    # semicolon (U+202F); and it is worded so that nobody's gender needs to be known.
    "fr": Language(
        code="fr",
        direction="ltr",
        thousands="\u202f",
        learner_greeting='Bonjour {{ first_name | default: "à vous" }},',
        admin_greeting="Bonjour,",
        learner_footer="Vous recevez ce message car vous suivez des formations chez {{ organisation }}.",
        admin_footer="Vous recevez ce message car vous administrez {{ organisation }}.",
        unsubscribe="Se désabonner des annonces",
        enrolment=Notice(
            subject="Votre inscription chez {{ organisation }}",
            opening="Voici les formations auxquelles vous avez désormais accès\u00a0:",
            closing="Connectez-vous comme d’habitude pour commencer.",
        ),
        digest=Notice(
            subject="Ce qui vous attend chez {{ organisation }}",
            opening="Bon retour parmi nous. Voici ce qui vous est désormais accessible\u00a0:",
            closing="Connectez-vous comme d’habitude pour commencer.",
        ),
        password=Notice(
            subject="Mots de passe provisoires à définir chez {{ organisation }}",
            opening="Ces personnes se connectent avec un nom d’utilisateur et sont de nouveau actives. Leurs anciens"
            " mots de passe ne sont plus valables.",
            closing="Veuillez définir un mot de passe provisoire pour chacune d’elles et le lui remettre.",
        ),
        seats_low=Notice(
            subject="Places de {{ organisation }}\u00a0: {percent}\u00a0% sont utilisées",
            opening="Utilisées\u00a0: {used} de vos {pool} places\u202f; restantes pour cette période de"
            " licence\u00a0: {left}.",
            closing="Une place est utilisée lorsqu’une personne commence une première formation. Si vous attendez"
            " davantage de monde, c’est le bon moment pour étendre votre licence.",
        ),
        seats_spent=Notice(
            subject="Toutes les places de {{ organisation }} sont utilisées",
            opening="Places utilisées\u00a0: {used}, pour une licence de {pool}.",
            closing="Personne n’est empêché de se former\u00a0: toute première formation commencée désormais est"
            " enregistrée en dépassement de votre licence. Veuillez l’étendre.",
        ),
        credits_low=Notice(
            subject="Crédits de {{ organisation }}\u00a0: {percent}\u00a0% sont utilisés",
            opening="Utilisés\u00a0: {used} de vos {pool} crédits\u202f; restants pour cette période de"
            " licence\u00a0: {left}.",
            closing="Des crédits sont utilisés lorsqu’une personne commence une formation. Si vous en prévoyez"
            " davantage, c’est le bon moment pour étendre votre licence.",
        ),
        credits_spent=Notice(
            subject="Tous les crédits de {{ organisation }} sont utilisés",
            opening="Crédits utilisés\u00a0: {used}, pour une licence de {pool}.",
            closing="Personne n’est empêché de se former\u00a0: toute formation commencée désormais est enregistrée en"
            " dépassement de votre licence. Veuillez l’étendre.",
        ),
    ),
}


@lru_cache(maxsize=256)
def spoken(locale: str) -> Language:
    """The language in which to speak to somebody of this locale, `nl-BE` or `fr_FR`."""
    return LANGUAGES.get(re.split("[-_]", locale, maxsplit=1)[0].lower(), LANGUAGES[FALLBACK])
