"""Argument values by kind: what a person writes and what the call must say.

`make(kind, rng, lexicon)` gives a `Value`, e.g. kind `time`: surface `3:30 pm`, argument `"15:30"`. Most kinds are
copied as they stand, for copying from the request is what a tool call mostly is. Knows no tools.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from bench.nano.words import Lexicon, number_is_held_out


@dataclass(frozen=True, slots=True)
class Value:
    """`surface` stands in the request, `argument` in the call."""

    surface: str
    argument: str | int | float


Maker = Callable[[random.Random, Lexicon], Value]

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_NUMBER_WORDS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
_CURRENCIES = {
    "USD": ("dollars", "US dollars", "bucks"),
    "EUR": ("euros", "euro"),
    "GBP": ("pounds", "British pounds", "pounds sterling"),
    "JPY": ("yen", "Japanese yen"),
    "CHF": ("Swiss francs", "francs"),
    "CAD": ("Canadian dollars",),
    "AUD": ("Australian dollars",),
    "INR": ("rupees", "Indian rupees"),
    "CNY": ("yuan", "Chinese yuan"),
    "SEK": ("Swedish kronor",),
    "NOK": ("Norwegian kroner",),
    "MXN": ("Mexican pesos",),
    "BRL": ("reais", "Brazilian reais"),
    "KRW": ("won", "Korean won"),
    "TRY": ("Turkish lira",),
    "PLN": ("zloty", "Polish zloty"),
    "ZAR": ("rand", "South African rand"),
    "CZK": ("Czech koruna", "Czech crowns"),
    "EGP": ("Egyptian pounds",),
    "DKK": ("Danish kroner",),
    "HUF": ("Hungarian forints", "forints"),
    "THB": ("Thai baht", "baht"),
    "ILS": ("shekels",),
    "SGD": ("Singapore dollars",),
}
_ZONES = {
    "Europe": "London Paris Berlin Madrid Rome Vienna Oslo Stockholm Athens Dublin Lisbon Prague Warsaw Budapest "
    "Moscow Istanbul Zurich",
    "America": "New York|Los Angeles|Chicago|Denver|Toronto|Vancouver|Mexico City|Lima|Bogota|Santiago|Havana|Phoenix",
    "Asia": "Tokyo Seoul Shanghai Singapore Bangkok Dubai Kolkata Manila Jakarta",
    "Australia": "Sydney Melbourne Brisbane Perth",
    "Africa": "Cairo Lagos Nairobi Johannesburg Accra",
}
_CITY_ZONES = tuple(
    (city, f"{continent}/{city.replace(' ', '_')}")
    for continent, cities in _ZONES.items()
    for city in (cities.split("|") if "|" in cities else cities.split())
)
_DURATIONS = (
    ("half an hour", 30),
    ("an hour", 60),
    ("one hour", 60),
    ("an hour and a half", 90),
    ("two hours", 120),
    ("a quarter of an hour", 15),
    ("three quarters of an hour", 45),
    ("2 hours", 120),
    ("1 hour", 60),
    ("three hours", 180),
)
_POOLS = {
    "language": "English French German Spanish Italian Portuguese Dutch Swedish Polish Turkish Arabic Hindi Japanese "
    "Korean Chinese Russian Greek Czech Danish Finnish",
    "song": "Yesterday|Blue Moon|River Song|Summer Rain|Golden Hour|Night Train|Wild Horses|Hello Again|City Lights",
    "artist": "Queen|Adele|The Beatles|Miles Davis|Nina Simone|Radiohead|Bach|Daft Punk|Abba|Bob Marley|Coldplay",
    "book": "Dune|Emma|The Hobbit|Dracula|Moby Dick|War and Peace|The Trial|Jane Eyre|Frankenstein|Great Expectations",
    "movie": "Alien|Casablanca|The Matrix|Jaws|Inception|Vertigo|Spirited Away|Titanic|Rocky|The Godfather",
    "color": "red blue green yellow purple orange black white pink brown gray teal beige navy",
    "unit": "km miles meters feet kg pounds liters gallons inches grams",
    "sport": "football tennis basketball hockey cricket rugby golf swimming volleyball cycling",
    "team": "Arsenal|Real Madrid|the Lakers|Ajax|Juventus|the Yankees|Bayern|Celtic|the Bulls",
    "animal": "cat dog horse rabbit parrot hamster goldfish cow sheep goat duck turtle",
    "medicine": "aspirin ibuprofen paracetamol insulin amoxicillin metformin antihistamine",
    "subject": "math physics history chemistry biology geography French music economics algebra",
    "job": "nurse|teacher|plumber|data analyst|cook|electrician|designer|driver|accountant|gardener",
    "hobby": "photography pottery hiking chess knitting gardening climbing fishing painting",
    "room": "kitchen|bedroom|living room|bathroom|office|garage|hallway|basement|dining room",
    "device": "lamp|fan|heater|speaker|tv|washing machine|thermostat|coffee maker|vacuum|air conditioner",
    "ingredient": "flour eggs butter rice tomatoes garlic onions cheese chicken basil",
    "plant": "rose|basil|fern|cactus|tomato|orchid|lavender|ivy|mint|aloe",
    "vehicle": "car van truck motorbike bus scooter minivan",
    "event": "jazz concert|food festival|book fair|football match|art show|marathon|science fair|street market",
    "airport": "JFK LAX CDG FRA LHR MAD AMS HND SIN DXB ORD BOS MUC ZRH",
    "stock": "AAPL MSFT TSLA AMZN NVDA GOOG IBM INTC ORCL SAP",
    "genre": "jazz rock pop classical comedy horror drama hip-hop thriller folk",
    "tag": "urgent home work travel draft bug feature family later important",
    "branch": "main develop release-2 hotfix feature/login fix/typo staging",
    "table": "users orders customers invoices products events payments sessions",
    "host": "web-1 db-2 cache-3 api.example.com build-7 mail.example.org",
}


def _copy(text: str | int | float) -> Value:
    return Value(str(text), text)


def number(rng: random.Random, lexicon: Lexicon, low: int, high: int) -> int:
    """A whole number on this lexicon's side of the split, where the range has one."""
    for _ in range(200):
        value = rng.randint(low, high)
        if value < 10 or number_is_held_out(value) == lexicon.held_out:
            return value
    return low


def _small_int(rng: random.Random, lexicon: Lexicon) -> Value:
    value = number(rng, lexicon, 1, 14)
    if value < len(_NUMBER_WORDS) and rng.random() < 0.25:
        return Value(_NUMBER_WORDS[value], value)
    return _copy(value)


def _integer(low: int, high: int) -> Maker:
    return lambda rng, lexicon: _copy(number(rng, lexicon, low, high))


def _amount(rng: random.Random, lexicon: Lexicon) -> Value:
    whole = number(rng, lexicon, 1, 2500)
    if rng.random() < 0.6:
        return Value(f"{whole:,}" if rng.random() < 0.4 else str(whole), whole)
    cents = f"{rng.randint(0, 9)}{rng.choice('1234567890')}"
    value = float(f"{whole}.{cents}")
    return Value(
        f"{whole:,}.{cents}" if rng.random() < 0.4 else f"{whole}.{cents}", int(value) if value == whole else value
    )


def _minutes(rng: random.Random, lexicon: Lexicon) -> Value:
    if rng.random() < 0.3:
        return Value(*rng.choice(_DURATIONS))
    value = number(rng, lexicon, 5, 180)
    return Value(f"{value}{rng.choice((' minutes', ' minutes', ' min', '-minute'))}", value)


def _zone(rng: random.Random, lexicon: Lexicon) -> Value:
    city, zone = rng.choice(_CITY_ZONES)
    return Value(zone if rng.random() < 0.3 else city, zone)


def _decimal(rng: random.Random, lexicon: Lexicon) -> Value:
    return _copy(float(f"{number(rng, lexicon, 0, 200)}.{rng.randint(1, 9)}"))


def _person(rng: random.Random, lexicon: Lexicon) -> Value:
    return _copy(f"{_name(rng, lexicon)} {_surname(rng, lexicon)}")


def _name(rng: random.Random, lexicon: Lexicon) -> str:
    return lexicon.pick(rng, "first_names")


def _surname(rng: random.Random, lexicon: Lexicon) -> str:
    return lexicon.pick(rng, "last_names")


def _place(pool: str) -> Maker:
    def make_place(rng: random.Random, lexicon: Lexicon) -> Value:
        if rng.random() < 0.25:
            return _copy(lexicon.invented(rng).capitalize())
        return _copy(lexicon.pick(rng, pool))

    return make_place


def _address(rng: random.Random, lexicon: Lexicon) -> Value:
    street = rng.choice((lexicon.pick(rng, "nouns"), lexicon.invented(rng))).capitalize()
    return _copy(f"{number(rng, lexicon, 1, 240)} {street} {rng.choice(('Street', 'Road', 'Lane', 'Avenue'))}")


def _email(rng: random.Random, lexicon: Lexicon) -> Value:
    name = _name(rng, lexicon).lower()
    tail = rng.choice(("", "." + _surname(rng, lexicon).lower(), str(number(rng, lexicon, 10, 99))))
    host = rng.choice(
        ("example.com", "example.org", "mail.com", lexicon.invented(rng) + ".com", lexicon.pick(rng, "nouns") + ".org")
    )
    return _copy(f"{name}{tail}@{host}")


def _phone(rng: random.Random, lexicon: Lexicon) -> Value:
    return _copy(rng.choice(("+1", "+44", "0")) + "".join(rng.choice("0123456789") for _ in range(rng.randint(6, 9))))


def _url(rng: random.Random, lexicon: Lexicon) -> Value:
    host = f"{rng.choice(('www.', ''))}{lexicon.invented(rng)}.{rng.choice(('com', 'org', 'net'))}"
    return _copy(f"https://{host}/{lexicon.pick(rng, 'nouns')}")


def dated(day: date, rng: random.Random) -> str:
    """A date as people write it."""
    name = _MONTHS[day.month - 1]
    return rng.choice(
        (
            day.isoformat(),
            day.isoformat(),
            f"{name} {day.day}, {day.year}",
            f"{day.day} {name} {day.year}",
            f"{name} {day.day} {day.year}",
            f"{_WEEKDAYS[day.weekday()]} {day.day} {name} {day.year}",
        )
    )


def near(today: date, rng: random.Random) -> Value:
    """A date as people write it when both know what day it is."""
    days = rng.choice((0, 1, 1, 2, rng.randint(3, 6), rng.randint(3, 6), rng.randint(7, 60), rng.randint(7, 60)))
    day = today + timedelta(days=days)
    if days < 3:
        surface = ("today", "tomorrow", "the day after tomorrow")[days]
    elif days < 7:
        surface = rng.choice(("", "this ", "on ")) + _WEEKDAYS[day.weekday()]
    elif day.year == today.year:
        surface = rng.choice((f"{day.day} {_MONTHS[day.month - 1]}", f"{_MONTHS[day.month - 1]} {day.day}"))
    else:
        surface = dated(day, rng)
    return Value(surface, day.isoformat())


def _date(rng: random.Random, lexicon: Lexicon) -> Value:
    day = date(rng.choice((2024, 2025, 2026, 2026, 2027)), rng.randint(1, 12), rng.randint(1, 28))
    return Value(dated(day, rng), day.isoformat())


def _time(rng: random.Random, lexicon: Lexicon) -> Value:
    hour, minute = rng.randint(0, 23), rng.choice((0, 0, 0, 15, 30, 45, rng.randint(1, 59)))
    clock, twelve = f"{hour:02d}:{minute:02d}", (hour % 12 or 12)
    draw = rng.random()
    if draw < 0.35:
        return Value(clock if rng.random() < 0.7 else f"{hour}:{minute:02d}", clock)
    if (draw < 0.6 or minute not in (0, 15, 30)) or not 5 <= hour <= 22:
        minutes = f":{minute:02d}" if minute else ""
        return Value(f"{twelve}{minutes}{rng.choice((' ', ''))}{'am' if hour < 12 else 'pm'}", clock)
    if hour == 12:
        return Value("noon", "12:00")
    part = "in the morning" if hour < 12 else "in the afternoon" if hour < 18 else "in the evening"
    spoken = rng.choice((str(twelve), _NUMBER_WORDS[twelve]))
    spoken = {0: spoken, 15: f"a quarter past {spoken}", 30: f"half past {spoken}"}[minute]
    return Value(f"{spoken} {part}", clock)


def _currency(rng: random.Random, lexicon: Lexicon) -> Value:
    code = rng.choice(tuple(_CURRENCIES))
    return Value(code if rng.random() < 0.45 else rng.choice(_CURRENCIES[code]), code)


def _title(rng: random.Random, lexicon: Lexicon) -> Value:
    noun, adjective, other = lexicon.pick(rng, "nouns"), lexicon.pick(rng, "adjectives"), lexicon.pick(rng, "nouns")
    title = rng.choice(
        (
            noun,
            f"{adjective} {noun}",
            f"{noun} {other}",
            f"{adjective} {noun} {other}",
            f"{lexicon.pick(rng, 'verbs')} the {noun}",
            f"call {_name(rng, lexicon)}",
            f"buy {other}",
            lexicon.invented(rng),
            f"{noun} with {_name(rng, lexicon)}",
        )
    )
    return _copy(title.capitalize() if rng.random() < 0.35 else title)


def _message(rng: random.Random, lexicon: Lexicon) -> Value:
    if rng.random() < 0.35:
        text = rng.choice(lexicon.messages)
    else:
        noun, verb, adjective = lexicon.pick(rng, "nouns"), lexicon.pick(rng, "verbs"), lexicon.pick(rng, "adjectives")
        text = rng.choice(
            (
                f"please {verb} the {adjective} {noun}",
                f"the {noun} is {adjective} now",
                f"can you {verb} my {noun} today",
                f"we should {verb} the {noun} before {rng.choice(_WEEKDAYS)}",
                f"{_name(rng, lexicon)} has the {noun}",
                f"I need the {adjective} {noun} by {number(rng, lexicon, 1, 12)}",
                f"the {noun} and the {lexicon.pick(rng, 'nouns')} are {adjective}",
                f"meet me at the {noun}",
                f"do not {verb} the {lexicon.invented(rng)}",
                f"{lexicon.invented(rng)} {lexicon.invented(rng)} {noun}",
            )
        )
    return _copy(text[0].upper() + text[1:] if rng.random() < 0.4 else text)


def _topic(rng: random.Random, lexicon: Lexicon) -> Value:
    noun, adjective = lexicon.pick(rng, "nouns"), lexicon.pick(rng, "adjectives")
    return _copy(
        rng.choice(
            (
                rng.choice(lexicon.topics),
                noun,
                f"{adjective} {noun}",
                f"{noun} {lexicon.pick(rng, 'nouns')}",
                f"how to {lexicon.pick(rng, 'verbs')} a {noun}",
                f"{lexicon.invented(rng)} {noun}",
                f"best {noun} in {lexicon.pick(rng, 'cities')}",
            )
        )
    )


def _file(rng: random.Random, lexicon: Lexicon) -> str:
    stem = rng.choice(
        (
            lexicon.pick(rng, "nouns"),
            lexicon.invented(rng),
            f"{lexicon.pick(rng, 'adjectives')}_{lexicon.pick(rng, 'nouns')}",
            f"{lexicon.pick(rng, 'nouns')}{number(rng, lexicon, 1, 99)}",
        )
    )
    return f"{stem}.{rng.choice(('txt', 'pdf', 'csv', 'png', 'docx', 'json', 'md', 'zip'))}"


def _filename(rng: random.Random, lexicon: Lexicon) -> Value:
    return _copy(_file(rng, lexicon))


def _path(rng: random.Random, lexicon: Lexicon) -> Value:
    folders = "/".join(rng.choice((*lexicon.nouns[:40], lexicon.invented(rng))) for _ in range(rng.randint(1, 2)))
    return _copy(f"{rng.choice(('/', '~/', ''))}{folders}/{_file(rng, lexicon)}")


def _code(rng: random.Random, lexicon: Lexicon) -> Value:
    letters = "".join(rng.choice("ABCDEFGHKLMNPRSTVXZ") for _ in range(rng.randint(1, 3)))
    digits = number(rng, lexicon, 10, 99999)
    return _copy(
        rng.choice(
            (f"{letters}-{digits}", f"{letters}{digits}", f"#{digits}", f"{lexicon.pick(rng, 'nouns')}-{digits}")
        )
    )


def _word(rng: random.Random, lexicon: Lexicon) -> Value:
    return _copy(rng.choice((lexicon.pick(rng, "nouns"), lexicon.pick(rng, "adjectives"), lexicon.invented(rng))))


def _username(rng: random.Random, lexicon: Lexicon) -> Value:
    return _copy(
        rng.choice(
            (
                _name(rng, lexicon).lower() + str(number(rng, lexicon, 1, 99)),
                f"{lexicon.pick(rng, 'adjectives')}_{lexicon.pick(rng, 'nouns')}",
                lexicon.invented(rng),
            )
        )
    )


def _ip(rng: random.Random, lexicon: Lexicon) -> Value:
    return _copy(".".join(str(rng.randint(1, 254)) for _ in range(4)))


def _version(rng: random.Random, lexicon: Lexicon) -> Value:
    return _copy(".".join(str(rng.randint(0, 12)) for _ in range(rng.choice((2, 3)))))


def _pooled(kind: str) -> Maker:
    text = _POOLS[kind]
    pool = text.split("|") if "|" in text else text.split()

    def make_pooled(rng: random.Random, lexicon: Lexicon) -> Value:
        if rng.random() < (0.85 if lexicon.held_out else 0.2):
            invented = lexicon.invented(rng)
            return _copy(invented if pool[0].islower() else invented.capitalize())
        return _copy(rng.choice(pool))

    return make_pooled


_MAKERS: dict[str, Maker] = {
    "small_int": _small_int,
    "medium_int": _integer(10, 500),
    "large_int": _integer(500, 90000),
    "duration_minutes": _minutes,
    "timezone": _zone,
    "percent": _integer(1, 100),
    "temperature": _integer(5, 30),
    "weight_kg": _integer(1, 120),
    "distance_km": _integer(1, 400),
    "amount": _amount,
    "decimal": _decimal,
    "person": _person,
    "first_name": lambda rng, lexicon: _copy(_name(rng, lexicon)),
    "city": _place("cities"),
    "country": _place("countries"),
    "company": _place("companies"),
    "product": _place("products"),
    "food": _place("foods"),
    "address": _address,
    "email": _email,
    "phone": _phone,
    "url": _url,
    "date": _date,
    "time": _time,
    "weekday": lambda rng, lexicon: _copy(rng.choice(_WEEKDAYS)),
    "currency": _currency,
    "title": _title,
    "message": _message,
    "topic": _topic,
    "filename": _filename,
    "path": _path,
    "code": _code,
    "word": _word,
    "username": _username,
    "ip": _ip,
    "version": _version,
    **{kind: _pooled(kind) for kind in _POOLS},
}
KINDS = tuple(_MAKERS)


def make(kind: str, rng: random.Random, lexicon: Lexicon) -> Value:
    """A value of one of `KINDS`; KeyError for any other."""
    return _MAKERS[kind](rng, lexicon)
