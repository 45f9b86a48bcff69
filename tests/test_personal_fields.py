"""Which fields say who somebody is."""

import pytest

from gdp_core.analytics.fields import is_personal, names_somebody


@pytest.mark.parametrize(
    "field",
    "email Email userEmail user_email work_email e-mail email_address emailHash billing_email_2 phone phoneNumber mobile"
    " phone-number address shippingAddress ip IPAddress ip_address firstName first_name LAST_NAME username user.name nick"
    " device_id deviceId session_id userId anonymousId customer_id properties.email person.name person.email"
    " person.properties.name person.nick".split(),
)
def test_what_says_who_somebody_is(field):
    assert is_personal(field)


@pytest.mark.parametrize(
    "field",
    "plan name product_name company person.company plan_name campaign_name utm_source url order_id order_number"
    " emails_sent email_opens ip_country session_count user_agent person.stage person.created_at subscription_id 12 :"
    " mailing_list device_type".split(),
)
def test_what_does_not(field):
    assert not is_personal(field)


@pytest.mark.parametrize(
    "text", ["ada@example.com", "@ada", "+49 151 2345678", "call 0151-234 567 89", "(030) 123456789", "4915112345678"]
)
def test_a_value_may_say_who_somebody_is(text):
    assert names_somebody(text)


@pytest.mark.parametrize(
    "text", ["pro", "2026-01-31", "2026-01-31 10:00", "/blog/2026/10/31/words", "1.2.3", "12345678", "10,000,000", ""]
)
def test_a_value_may_not(text):
    assert not names_somebody(text)
