"""Who is named, who is joined and what is said of them, by how far a sender is believed."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.sources import people, resend, stripe
from gdp_core.sources.facts import Identifier, Link, Trait
from gdp_core.sources.payload import Unusable

USER, ANONYMOUS = Identifier("user", "u1"), Identifier("anonymous", "a1")
EMAIL, PHONE = Identifier("email", "ada@x.test"), Identifier("phone", "+442079460958")

NOBODY = """anonymous guest distinctid distinct_id id not_authenticated email undefined true false
 Anonymous GUEST distinctId Undefined TRUE NaN None none null 0 test@example.com TEST@example.com
 00000000-0000-0000-0000-000000000000""".split()


@pytest.mark.parametrize("value", [*NOBODY, "[object Object]", "", "  ", None, True, False, {}, [], 0, 0.0, "''", '""'])
def test_ids_that_are_somebodys_bug_name_nobody(value: Any) -> None:
    assert people.external_id(value) is None
    if isinstance(value, str):
        assert people.external_id(f" {value}\n") is None
        assert people.external_id(f'"{value}"') is None
        assert people.external_id(f"'{value}'") is None


def test_numbers_too_long_for_json_are_nobody_rather_than_everybody_alike() -> None:
    one, other = orjson.loads("[123456789012345678901, 123456789012345678902]")
    assert one == other
    assert people.external_id(one) is None
    assert people.external_id(1234567890123456789) == "1234567890123456789"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (7, "7"),
        (7.0, "7"),
        (7.5, "7.5"),
        (" u1 ", "u1"),
        ("nan", "nan"),  # only as JavaScript writes it
        ("0x", "0x"),
        ("x" * 300, "x" * 200),
        ({"b": 1, "a": 2}, '{"a":2,"b":1}'),
        ("O'Brien", "O'Brien"),
    ],
)
def test_other_ids_are_text(value: Any, kept: str) -> None:
    assert people.external_id(value) == kept


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        (" Ada@X.Test ", "ada@x.test"),
        ("Ada <ada@x.test>", "ada@x.test"),
        ("ａｄａ＠x.test", "ada@x.test"),
        ("a+b@x.co.uk", "a+b@x.co.uk"),
        ("zoë@x.test", "zoë@x.test"),
        ("ada@localhost", None),
        ("ada", None),
        ("a@b@c.d", None),
        ("a b@x.test", None),
        ("a@x..test", None),
        ("a@x.test, b@x.test", None),
        ("test@example.com", None),
        ("a" * 250 + "@x.test", None),
        (7, None),
        (None, None),
    ],
)
def test_email_addresses(value: Any, normal: str | None) -> None:
    assert people.email(value) == normal


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        ("+44 20 7946 0958", "+442079460958"),
        ("0044 (0)20 7946 0958", "+442079460958"),
        ("+15005550006", "+15005550006"),
        ("020 7946 0958", None),
        ("+1", None),
        ("+999999999999999999", None),
        ("call me", None),
        (442079460958, None),
    ],
)
def test_phone_numbers(value: Any, normal: str | None) -> None:
    assert people.phone(value) == normal


json = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**60), 2**60)
    | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=1_500, deadline=None)
@given(value=json, namespace=st.sampled_from(["user", "anonymous", "email", "phone", "stripe"]))
def test_a_normal_form_is_its_own_normal_form(value: Any, namespace: str) -> None:
    found = people.identifier(namespace, value)
    if found:
        assert people.identifier(namespace, found.value) == found
        assert 0 < len(found.value) <= max(people.MAX_ID, people.MAX_EMAIL)


def test_a_browser_joins_anonymous_and_user_and_nothing_else() -> None:
    everybody = [USER, ANONYMOUS, EMAIL, PHONE]
    assert people.believed("browser", everybody) == (USER, ANONYMOUS)
    assert people.joined("browser", (USER, ANONYMOUS)) == (Link(USER, ANONYMOUS),)
    assert people.joined("browser", (USER, Identifier("user", "u2"))) == ()
    assert people.joined("browser", (ANONYMOUS, Identifier("anonymous", "a2"))) == ()
    for trust in ("server", "signed"):
        believed = people.believed(trust, everybody)
        assert people.joined(trust, believed) == (Link(USER, ANONYMOUS), Link(USER, EMAIL), Link(USER, PHONE))
    assert people.believed("server", [None, EMAIL]) == (EMAIL,)
    with pytest.raises(Unusable) as refused:
        people.believed("browser", [None, EMAIL, PHONE])
    assert refused.value.code == "no_identifier"


def test_the_schemas_traits_have_one_spelling() -> None:
    for key in ("firstName", "first_name", "$first_name", "First Name", "FIRSTNAME"):
        assert people.trait_name(key) == "first_name"
    assert people.trait_name("$initial_utm_source") == "initial_utm_source"
    assert people.trait_name("favouriteColour") == "favouriteColour"


def test_traits_are_stated_once_each() -> None:
    said = people.traits(
        USER,
        {
            "email": "ADA@x.test",
            "Email": "not one",
            "phone": "020 7946",
            "first_name": "B",
            "firstName": "A",
            "company": {"name": "Acme", "industry": "Rockets"},
            "plan": None,
            "age": 36,
            "gone": 1,
            "$": 1,
        },
        once={"age": 1, "$initial_utm_source": "mail"},
        removed=["gone", 7],
    )
    assert set(said) == {
        Trait(USER, "gone", None, "unset"),
        Trait(USER, "email", "ada@x.test"),
        Trait(USER, "phone", "020 7946"),
        Trait(USER, "first_name", "A"),
        Trait(USER, "company", "Acme"),
        Trait(USER, "industry", "Rockets"),
        Trait(USER, "age", 36),
        Trait(USER, "initial_utm_source", "mail", "set_once"),
    }
    assert people.traits(USER, "nonsense", once=[1], removed="x") == ()


@settings(max_examples=500, deadline=None)
@given(values=json, once=json, removed=json)
def test_any_traits_are_stated_once_each(values: Any, once: Any, removed: Any) -> None:
    keys = [trait.key for trait in people.traits(USER, values, once, removed)]
    assert len(keys) == len(set(keys))
    assert all(keys)


def test_contacts_are_found_in_any_spelling() -> None:
    assert people.contacts({"$email": "ada@x.test", "phoneNumber": "+44 20 7946 0958"}) == (EMAIL, PHONE)
    assert people.contacts({"email": "none", "phone": "1"}) == ()
    assert people.contacts(None) == ()


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("5f0f5c3e-8a2d-5b7e-9c1d-2f3a4b5c6d7e", Identifier("person", "5f0f5c3e-8a2d-5b7e-9c1d-2f3a4b5c6d7e")),
        ("5F0F5C3E-8A2D-5B7E-9C1D-2F3A4B5C6D7E ", Identifier("person", "5f0f5c3e-8a2d-5b7e-9c1d-2f3a4b5c6d7e")),
        ("5f0f5c3e-8a2d-4b7e-9c1d-2f3a4b5c6d7e", Identifier("user", "5f0f5c3e-8a2d-4b7e-9c1d-2f3a4b5c6d7e")),
        ("u1", USER),
        ("undefined", None),
    ],
)
def test_an_id_of_ours_means_the_same_in_a_tag_and_in_metadata(value: str, meant: Identifier | None) -> None:
    given_back = stripe.who({"object": "checkout.session", "metadata": {"person_id": value}})
    tagged = resend.recipients("email.sent", {"tags": {"person_id": value}})
    assert given_back == tagged == ((meant,) if meant else ())
    assert stripe.who({"object": "checkout.session", "metadata": {"personId": value}}) == given_back
