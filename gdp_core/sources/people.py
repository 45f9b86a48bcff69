"""Whom an item names, what it may join, and what it says of them.

Owns the rules for identifiers (deny-list, lengths, normal forms), for trait names, and for trust: a browser key joins
an anonymous id and a user id and nothing else, because anyone can read it; a claimed e-mail or phone number is then a
trait only. Knows no vendor's field names.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain

import orjson
import phonenumbers

from gdp_core.sources.facts import Identifier, Json, Link, Trait, Trust
from gdp_core.sources.payload import Unusable, as_object

NAMESPACES = ("user", "email", "phone", "anonymous", "stripe", "posthog", "resend", "meta")
"""The kinds of identifiers that sources name people by."""
MAX_ID = 200
MAX_EMAIL = 254

# PostHog's list of ids that are somebody's bug: one "undefined" would make everyone the same person.
_DENIED = frozenset("anonymous guest distinctid distinct_id id not_authenticated email undefined true false".split())
_DENIED_AS_WRITTEN = frozenset(["[object Object]", "NaN", "None", "none", "null", "0"])
_NOBODY = "00000000-0000-0000-0000-000000000000"  # the advertising id of a phone that refuses tracking
_EXAMPLE = "test@example.com"
_EXACT = 2**53  # whole numbers beyond lose digits on their way through a float
_OURS = 5  # the version of the UUIDs that this product issues

_EMAIL = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\.]+(\.[^\s@<>,;:\"()\[\]\\.]+)+")
_NAMED_ADDRESS = re.compile(r"<([^<>]*)>\s*$")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)

# Spellings of the person's own fields, squashed: no case, no separators, no leading "$".
_TRAIT = {
    "email": "email",
    "emailaddress": "email",
    "phone": "phone",
    "phonenumber": "phone",
    "firstname": "first_name",
    "lastname": "last_name",
    "name": "name",
    "fullname": "name",
    "company": "company",
    "companyname": "company",
    "industry": "industry",
    "createdat": "created_at",
}
_TEXT_TRAITS = frozenset(["first_name", "last_name", "name", "company", "industry"])


def external_id(value: Json) -> str | None:
    """An id as text of at most 200 characters, or None for one that means nobody (undefined, null, blank, ...)."""
    if isinstance(value, str):
        return _usable_id(value)
    if isinstance(value, float) and value.is_integer():
        if abs(value) > _EXACT:
            return None  # a number too long for JSON: its neighbours would be the same person
        value = int(value)
    if isinstance(value, dict | list):
        value = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() if value else None
    if value is None or isinstance(value, bool):
        return None
    return _usable_id(str(value))


@lru_cache(maxsize=1 << 16)  # a batch names the same people again and again
def _usable_id(written: str) -> str | None:
    text = written.strip()[:MAX_ID].strip()
    bare = text.strip("\"'").strip()
    unusable = bare.lower() in _DENIED or bare in _DENIED_AS_WRITTEN or bare == _NOBODY or bare.lower() == _EXAMPLE
    return None if unusable or not bare else text


def email(value: Json) -> str | None:
    """An e-mail address in normal form (NFKC, lower case), out of "Ada <ada@x.test>" too; None if it is not one."""
    if not isinstance(value, str) or len(value) > 4 * MAX_EMAIL:
        return None
    named = _NAMED_ADDRESS.search(value)
    text = unicodedata.normalize("NFKC", named.group(1) if named else value).lower()
    text = unicodedata.normalize("NFKC", text).strip()  # lowering may leave marks apart
    if len(text) > MAX_EMAIL or not text.isprintable() or not _EMAIL.fullmatch(text) or text == _EXAMPLE:
        return None
    return text


def phone(value: Json) -> str | None:
    """A phone number in E.164, or None: without + or 00 and a country code nobody can tell whose it is."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    text = value.strip()
    if text.startswith("00"):
        text = f"+{text[2:]}"
    if not text.startswith("+"):
        return None
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def identifier(namespace: str, value: Json) -> Identifier | None:
    """An identifier in its namespace's normal form, or None where the value identifies nobody."""
    normal = email(value) if namespace == "email" else phone(value) if namespace == "phone" else external_id(value)
    return Identifier(namespace, normal) if normal else None


def person_or_user(value: Json) -> Identifier | None:
    """Whom a `person_id` means that a vendor was handed and gives back, in a tag or in metadata.

    A UUID of version 5 is what we issue: one of our persons. Anything else is the company's own user id.
    """
    known = identifier("user", value)
    if known and uuid_version(known.value) == _OURS:
        return Identifier("person", known.value.lower())
    return known


def uuid_version(value: str) -> int | None:
    """The version digit of text that is shaped like a UUID, else None."""
    match = _UUID.fullmatch(value)
    return int(match.group(1), 16) if match else None


def named(*candidates: Identifier | None) -> tuple[Identifier, ...]:
    """The identifiers there are, once each, in order. Raises Unusable when there is none."""
    present = tuple(dict.fromkeys(candidate for candidate in candidates if candidate))
    if not present:
        raise Unusable("no_identifier", "It names nobody: send a user id or an anonymous id.")
    return present


def believed(trust: Trust, candidates: Iterable[Identifier | None]) -> tuple[Identifier, ...]:
    """The identifiers of one person a sender may name. Raises Unusable when none is left.

    A browser names anonymous ids and user ids; its e-mail addresses and phone numbers are claims, so not identifiers.
    """
    allowed = ("user", "anonymous") if trust == "browser" else None
    return named(*(one for one in candidates if one and (allowed is None or one.namespace in allowed)))


def joined(trust: Trust, identifiers: tuple[Identifier, ...]) -> tuple[Link, ...]:
    """Edges from the first identifier to each of the others; from a browser only between a user and an anonymous id."""
    first, *others = identifiers
    if trust != "browser":
        return tuple([Link(first, other) for other in others])
    across = {first.namespace, "user", "anonymous"} - {first.namespace}
    return tuple(Link(first, other) for other in others if other.namespace in across)


def contacts(values: Json) -> tuple[Identifier, ...]:
    """The e-mail address and phone number among traits, as identifiers."""
    if not values:
        return ()
    wanted = {key: value for key, value in as_object(values).items() if trait_name(key) in ("email", "phone")}
    stated = dict(reversed(_pairs(wanted)))
    found = (identifier(namespace, stated.get(namespace)) for namespace in ("email", "phone"))
    return tuple(one for one in found if one)


@lru_cache(maxsize=4_096)
def trait_name(key: str) -> str:
    """firstName, first_name and $first_name are first_name; a name of the sender's own stays, without a leading $."""
    squashed = key.lstrip("$").replace("_", "").replace("-", "").replace(" ", "").lower()
    return _TRAIT.get(squashed) or key.strip().lstrip("$")[:MAX_ID]


def traits(
    of: Identifier,
    values: Json,
    once: Json = None,
    removed: Json = None,
) -> tuple[Trait, ...]:
    """Traits of `of`, one per name: what is removed beats what is set, which beats what is set once.

    `values` and `once` are objects, `removed` a list of names; anything else, and null, says nothing. An e-mail
    address that is not one is not a trait.
    """
    if not (values or once or removed):
        return ()
    said: dict[str, Trait] = {}
    for key in sorted(_names(removed)):
        said.setdefault(key, Trait(of, key, None, "unset"))
    stated = chain((("set", pair) for pair in _pairs(values)), (("set_once", pair) for pair in _pairs(once)))
    for op, (key, value) in stated:
        said.setdefault(key, Trait(of, key, value, "set" if op == "set" else "set_once"))
    return tuple(said.values())


def _pairs(values: Json) -> list[tuple[str, Json]]:
    if not isinstance(values, dict):
        return []
    # In order of the sender's names, so that two spellings of one trait settle the same way every time.
    pairs = [(trait_name(key), value) for key, value in sorted(values.items())]
    usable = ((key, _trait_value(key, value)) for key, value in pairs if key)
    pairs = [(key, value) for key, value in usable if value is not None]
    company = values.get("company")
    if isinstance(company, Mapping) and isinstance(company.get("industry"), str):
        pairs.append(("industry", company["industry"]))
    return pairs


def _names(removed: Json) -> set[str]:
    if not isinstance(removed, list | dict):
        return set()
    return {trait_name(key) for key in removed if isinstance(key, str)} - {""}


def _trait_value(key: str, value: Json) -> Json:
    if key == "email":
        return email(value)
    if key == "phone":
        return phone(value) or (value.strip()[:40] or None if isinstance(value, str) else None)
    if key == "company" and isinstance(value, Mapping):
        value = value.get("name")
    if key in _TEXT_TRAITS:
        return str(value).strip()[:MAX_ID] or None if isinstance(value, str | int | float) else None
    return value
