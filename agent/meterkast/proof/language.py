"""The words of the report, in English and Dutch; one table, so that nothing is said in one of them only."""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGES = ("en", "nl")

_WORDS: dict[str, tuple[str, str]] = {
    "title": ("Half-hours of {month}", "Halfuren van {month}"),
    "complete": (
        "Complete: all {expected} values are measured, and the platforms have confirmed them.",
        "Volledig: alle {expected} waarden zijn gemeten, en de platformen hebben ze bevestigd.",
    ),
    "running": (
        "Complete so far: all {expected} values are measured, and the platforms have confirmed them.",
        "Volledig tot nu toe: alle {expected} waarden zijn gemeten, en de platformen hebben ze bevestigd.",
    ),
    "undelivered": (
        "Measured, not delivered: all {expected} values are measured, {undelivered} are not confirmed.",
        "Gemeten, niet bezorgd: alle {expected} waarden zijn gemeten, {undelivered} zijn niet bevestigd.",
    ),
    "incomplete": (
        "Not complete: {lacking} of {expected} values are not measured, {undelivered} are not confirmed.",
        "Niet volledig: {lacking} van {expected} waarden zijn niet gemeten, {undelivered} niet bevestigd.",
    ),
    "empty": (
        "Nothing was owed to any platform in this month.",
        "In deze maand was aan geen platform iets verschuldigd.",
    ),
    "seldom": (
        "In {count} more intervals no value is missed: the meter reports less often.",
        "In nog {count} intervallen wordt geen waarde gemist: de meter meldt minder vaak.",
    ),
    "so far": (
        "The month is not over; this is how it was at {made}.",
        "De maand is nog niet om; zo was het op {made}.",
    ),
    "site": ("Site", "Locatie"),
    "zone": ("Time zone", "Tijdzone"),
    "device": ("Gateway", "Gateway"),
    "version": ("Software", "Software"),
    "made": ("Made", "Gemaakt"),
    "channels": ("Channels", "Kanalen"),
    "channel": ("Channel", "Kanaal"),
    "meter": ("Meter", "Meter"),
    "expected": ("Expected", "Verwacht"),
    "measured": ("Measured", "Gemeten"),
    "late": ("Late", "Te laat"),
    "suspect": ("Suspect", "Verdacht"),
    "missing": ("Missing", "Ontbreekt"),
    "open": ("Not closed yet", "Nog niet gesloten"),
    "aged": ("No longer kept", "Niet meer bewaard"),
    "delivered": ("Delivered", "Bezorgd"),
    "pending": ("Waiting", "Wacht"),
    "quarantined": ("Refused", "Geweigerd"),
    "nothing": ("Nothing to send", "Niets te sturen"),
    "registers": ("Registers", "Tellerstanden"),
    "begin": ("At the begin", "Aan het begin"),
    "end": ("At the end", "Aan het eind"),
    "difference": ("Sum of the intervals", "Som van de intervallen"),
    "spans": ("What is missing", "Wat ontbreekt"),
    "from": ("From", "Van"),
    "until": ("Until", "Tot"),
    "count": ("Intervals", "Intervallen"),
    "cause": ("Cause", "Oorzaak"),
    "refused": ("What the platforms refused", "Wat de platformen weigerden"),
    "words": ("The platform's words", "Woorden van het platform"),
    "interval": ("Interval until", "Interval tot"),
    "stream": ("Stream", "Stroom"),
    "breaks": ("Meter swaps, resets and rollovers", "Meterwissels, resets en overlopen"),
    "kind": ("What", "Wat"),
    "old": ("Last reading before", "Laatste stand ervoor"),
    "new": ("First reading after", "Eerste stand erna"),
    "signed": ("Signed off by", "Afgetekend door"),
    "clock": (
        "Times without a known clock, or with a wrong one",
        "Perioden zonder bekende klok, of met een verkeerde",
    ),
    "moved": ("Then moved by (minutes)", "Daarna verzet (minuten)"),
    "lasted": ("Lasted (minutes)", "Duurde (minuten)"),
    "doubts": ("Doubts about the storage", "Twijfels over de opslag"),
    "when": ("When", "Wanneer"),
    "detail": ("Detail", "Details"),
    "asked": ("What the platforms say they have", "Wat de platformen zeggen te hebben"),
    "outcome": ("Outcome", "Uitkomst"),
    "held": ("Has until", "Heeft tot"),
    "ours": ("Delivered until", "Bezorgd tot"),
    "checks": ("Check of the sums", "Controle van de sommen"),
    "day": ("Day", "Dag"),
    "rows": ("Half-hours compared", "Halfuren vergeleken"),
    "sealed": ("Half-hours", "Halfuren"),
    "unchecked": ("Without samples", "Zonder metingen"),
    "not checked": ("Not checked against the samples", "Niet met de metingen vergeleken"),
    "wrong": ("Wrong", "Fout"),
    "seals": ("Seals of the days", "Zegels van de dagen"),
    "digest": ("SHA-256", "SHA-256"),
    "key": ("Key of this gateway", "Sleutel van deze gateway"),
    "verify": (
        "The same report as JSON is signed with this key; `meterkast verify FILE` checks it anywhere.",
        "Hetzelfde rapport als JSON is met deze sleutel ondertekend; `meterkast verify BESTAND` controleert "
        "het overal.",
    ),
    "none": ("None.", "Geen."),
    "meter silent": ("The meter told nothing", "De meter zei niets"),
    "meter reports less often": ("The meter reports less often", "De meter meldt minder vaak"),
    "link lost": ("The link to the meter was lost", "De verbinding met de meter was weg"),
    "device removed": ("The device was taken out", "Het apparaat was verwijderd"),
    "gateway off": ("The gateway was off", "De gateway was uit"),
    "clock unknown": ("The time was not known", "De tijd was niet bekend"),
    "not commissioned": ("The meter was not there yet", "De meter was er nog niet"),
    "counter reset": ("The counter began again", "De teller begon opnieuw"),
    "counter jumped": ("The counter jumped", "De teller versprong"),
    "disk": ("The storage failed", "De opslag faalde"),
    "first reading": ("First reading", "Eerste stand"),
    "rollover": ("The counter rolled over", "De teller liep over"),
    "meter swap": ("The meter was swapped", "De meter is gewisseld"),
    "agrees": ("Agrees", "Klopt"),
    "sent again": ("{again} sent again", "{again} opnieuw gestuurd"),
    "would be sent again": ("{again} would be sent again", "{again} zouden opnieuw gestuurd worden"),
    "not shown": ("Acknowledged, and not shown", "Bevestigd, en niet getoond"),
    "backlog": ("Asked when nothing waits", "Gevraagd zodra niets wacht"),
    "not asked": ("Could not be asked", "Kon niet gevraagd worden"),
    "cannot tell": (
        "Cannot be asked; its acknowledgements are the receipts",
        "Kan niet gevraagd worden; de bevestigingen zijn het bewijs",
    ),
}

_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
}


def words(language: str) -> Mapping[str, str]:
    """The words of a language, by what they stand for; a cause's and an outcome's own word is its key."""
    place = LANGUAGES.index(language)
    return {name: both[place] for name, both in _WORDS.items()}


def month_name(month: str, language: str) -> str:
    """ "2026-10" as "October 2026"."""
    year, _, number = month.partition("-")
    return f"{_MONTHS[language].split()[int(number) - 1]} {year}"
