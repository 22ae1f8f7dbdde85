r"""The `format` names that are assertions here, each with the exact texts it allows.

`date` and `date-time` know the length of every month and leap years; times have no leap seconds. `email` is an address
as people have one: a dot-atom, `@`, host names; no comments and no quoted parts. `uri` is that of RFC 3986, without
addresses of version 6 in brackets.
"""

from __future__ import annotations

from grammars.pattern import parse_pattern

_DAY = r"(?:0[1-9]|[12]\d|3[01])"
_YEAR = r"(?:000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3})"
_LEAP_YEAR = r"(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-{_DAY}|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
    rf"|{_LEAP_YEAR}-02-29)"
)
_HOUR, _MINUTE = r"(?:[01]\d|2[0-3])", r"[0-5]\d"
_TIME = rf"{_HOUR}:{_MINUTE}:{_MINUTE}(?:\.\d+)?(?:[Zz]|[+\-]{_HOUR}:{_MINUTE})"
_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?"
_HEX = "[0-9A-Fa-f]"
_ESCAPE = f"%{_HEX}{_HEX}"
_WORD = rf"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|{_ESCAPE})"
_SEGMENT = rf"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|{_ESCAPE})"
_AUTHORITY = rf"(?:(?:{_WORD}|:)*@)?{_WORD}*(?::\d*)?"
_PATH = rf"{_SEGMENT}+(?:/{_SEGMENT}*)*"
_TAIL = rf"(?:{_SEGMENT}|[/?])*"
_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"

FORMATS = {
    name: parse_pattern(f"^{pattern}$")
    for name, pattern in {
        "date": _DATE,
        "time": _TIME,
        "date-time": f"{_DATE}[Tt]{_TIME}",
        "email": rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*",
        "uuid": f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}",
        "hostname": rf"{_LABEL}(?:\.{_LABEL})*",
        "uri": rf"[A-Za-z][A-Za-z0-9+\-.]*:(?://{_AUTHORITY}(?:/{_SEGMENT}*)*|/(?:{_PATH})?|{_PATH})?(?:\?{_TAIL})?(?:#{_TAIL})?",
        "ipv4": rf"{_BYTE}(?:\.{_BYTE}){{3}}",
    }.items()
}

# The other formats of JSON Schema: assertions too, and no grammar has them. Any further name is an annotation.
OTHER_STANDARD_FORMATS = frozenset(
    {
        "duration",
        "idn-email",
        "idn-hostname",
        "ipv6",
        "iri",
        "iri-reference",
        "json-pointer",
        "regex",
        "relative-json-pointer",
        "uri-reference",
        "uri-template",
    }
)
