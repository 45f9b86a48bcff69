"""Which fields say who somebody is."""

import pytest

from gdp_core.analytics.fields import is_personal


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
