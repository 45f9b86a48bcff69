"""How the dashboard writes things: numbers, money, dates in a workspace's locale, and text that is never markup."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gdp_core.analytics.profile import StageStep
from pages.ui.charts.stages import stage_history, stage_path
from pages.ui.escape import button_text, clean, icon_text, safe_text
from pages.ui.format import UNKNOWN, Format, label

from .payloads import PAYLOADS

NOW = datetime(2026, 11, 19, 9, 0, tzinfo=UTC)
US = Format("en_US", "UTC", "USD")
DE = Format("de_DE", "Europe/Berlin", "EUR")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (US.number(12480), "12,480"),
        (DE.number(12480), "12.480"),
        (US.number(None), UNKNOWN),
        (US.number(0), "0"),
        (US.compact(1_820_000), "1.82M"),
        (US.compact(999_999), "999,999"),
        (US.size(999), "999 B"),
        (US.size(14_400), "14 KB"),
        (DE.size(5_730_000), "5,7 MB"),
        (US.percent(0.6184), "61.8%"),
        (US.percent(0.5), "50%"),
        (DE.percent(0.6184), "61,8\xa0%"),
        (US.percent(None), UNKNOWN),
        (US.change(110, 100), "10%"),
        (US.change(90, 100), "-10%"),
        (US.change(5, 0), None),
        (US.change(None, 5), None),
        (US.change(3000, 100), "×30"),
        (US.points(0.5, 0.486), "1.4 pp"),
        (US.points(None, 0.5), None),
        (US.money(1_234_500_000), "$1,234.50"),
        (US.money(12_000_000_000), "$12,000"),
        (US.money(98_000_000), "$98.00"),
        (US.money(-5_000_000), "-$5.00"),
        (US.money(5_000_000_000, "JPY"), "¥5,000"),
        (DE.money(1_234_500_000), "1.234,50\xa0€"),
        (US.money(None), UNKNOWN),
        (US.money_short(1_820_000_000_000), "$1.82M"),
        (US.money_short(12_345_670_000), "$12,346"),
        (US.money_short(99_990_000), "$99.99"),
        (US.money_compact(35_600_000_000), "$36K"),
        (US.money_compact(7_400_000_000), "$7.4K"),
        (US.money_compact(1_820_000_000_000), "$1.8M"),
        (US.money_compact(420_000_000), "$420"),
        (US.money_compact(721_094_597), "$721"),
        (US.money_compact(-999_600_000), "-$1K"),
        (US.day(date(2026, 11, 19)), "19 Nov 2026"),
        (DE.day(date(2026, 11, 19)), "19 Nov. 2026"),
        (US.day(None), UNKNOWN),
        (US.instant(NOW), "19 Nov 2026, 09:00"),
        (DE.instant(NOW), "19 Nov. 2026, 10:00"),
        (US.instant(NOW, seconds=True), "19 Nov 2026, 09:00:00"),
        (Format("en_US", "Asia/Tokyo", "USD").date_of(datetime(2026, 11, 18, 20, tzinfo=UTC)), "19 Nov 2026"),
        (DE.zone_name(NOW), "CET"),
        (Format("en_US", "America/Sao_Paulo", "USD").zone_name(NOW), "America/Sao_Paulo"),
        (US.ago(NOW - timedelta(seconds=5), NOW), "just now"),
        (US.ago(NOW - timedelta(hours=3), NOW), "3 hours ago"),
        (US.ago(NOW + timedelta(hours=3), NOW), "in 3 hours"),
        (US.ago(NOW - timedelta(days=40), NOW), "10 Oct 2026"),
        (US.ago(None, NOW), "never"),
        (DE.ago(NOW - timedelta(hours=3), NOW), "3 hours ago"),
        (US.span(timedelta(days=3)), "3 days"),
        (US.short_month(date(2026, 1, 1)), "Jan 2026"),
        (US.short_month(date(2026, 2, 1)), "Feb"),
        (label("paid_ads"), "Paid ads"),
        (label("email_campaign"), "E-mail campaign"),
        (label(None), UNKNOWN),
    ],
)
def test_formats(found, expected):
    assert found == expected


@given(st.sampled_from(["en_US", "de_DE", "fr_FR", "ja_JP", "ar_EG", "pt_BR"]), st.integers(-(10**17), 10**17))
def test_every_amount_can_be_written_in_every_locale(locale, micros):
    write = Format(locale, "UTC", "USD")
    for text in (write.money(micros), write.money_short(micros), write.number(micros), write.money(micros, "KWD")):
        assert text


MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def shown(escaped):
    """What a reader of Markdown sees, and whether it is nothing but one paragraph of text."""
    tokens = MARKDOWN.parse(escaped)
    inline = [token for token in tokens if token.type == "inline"]
    assert [token.type for token in tokens] in ([], ["paragraph_open", "inline", "paragraph_close"]), tokens
    parts = [child for token in inline for child in token.children]
    assert {part.type for part in parts} <= {"text", "text_special"}, parts
    return "".join(part.content for part in parts)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_is_shown_as_it_was_sent(payload):
    text = shown(safe_text(payload))
    assert text.replace("\u2060", "") == clean(payload)
    # Streamlit and GitHub-flavoured Markdown look at the text again, for addresses, icons and directives.
    assert not re.search(r"(?i)[a-z]:[^\u2060\s]", text)
    assert not re.search(r"(?i)www\.|@[^\u2060\s]|:[a-z/]", text)


@given(st.text(max_size=400))
def test_any_text_is_one_line_of_text(text):
    escaped = safe_text(text)
    assert shown(escaped).replace("\u2060", "") == clean(text).strip()
    assert len(clean(text)) <= 300


MARKUP = st.text(alphabet="ab1 \\`*_~[](){}<>#+-=.!|:$&;\"'/@^\n", max_size=40)


@given(MARKUP)
@settings(max_examples=2000)
def test_no_mixture_of_markup_is_read(text):
    assert shown(safe_text(text)).replace("\u2060", "") == clean(text)


def test_plain_words_carry_no_backslash():
    for text in ("Signing secret", "Ada O'Neil-Ström, Inc. (UK)", "snake_case_name", "50% of 3/4", "a.b@c"):
        assert "\\" not in safe_text(text)


@pytest.mark.parametrize("text", [":material/delete: Ada", "[Edit, Delete]", "[", ":", *PAYLOADS])
def test_a_button_in_a_cell_shows_a_name_and_no_icon_or_menu(text):
    shown = button_text(clean(text))
    assert not shown.startswith((":", "["))
    assert shown.removeprefix("\u2060") == clean(text)


def test_an_ordinary_name_is_a_button_as_it_is():
    assert button_text("Ada Lovelace: [x]") == "Ada Lovelace: [x]"


def step(hours, stage):
    return StageStep(NOW - timedelta(hours=hours), stage, None)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([step(2, "lead")], "Lead since 19 Nov 2026, 07:00"),
        ([step(30, "lead"), step(4, "trial")], "Lead for 1 day → Trial since 19 Nov 2026, 05:00"),
        ([step(4.001, "lead"), step(4, "trial")], "Trial since 19 Nov 2026, 05:00"),
        ([step(9000, "trial"), step(8990, "active")], "Trial for 10 hours → Active since 9 Nov 2025"),
        ([step(500, "trial"), step(400, None)], "Trial for 4 days → – since 2 Nov 2026"),
        (
            [step(9000 - n, "lead" if n % 2 else "dormant") for n in range(6)],
            "… → Lead for 1 hour → Dormant for 1 hour → Lead for 1 hour → Dormant for 1 hour → Lead since 9 Nov 2025",
        ),
    ],
)
def test_stages_hours_apart_are_told_in_words(steps, said):
    assert stage_path(steps, NOW, US) == said


def test_a_stay_of_hours_tells_its_minutes_when_pointed_at():
    figure = stage_history([step(9000, "trial"), step(8990, "active")], NOW, US)
    short, long = (bar.hovertemplate for bar in figure.data)
    assert short == "Trial<br>9 Nov 2025, 09:00 – 9 Nov 2025, 19:00<extra></extra>"
    assert long == "Active<br>9 Nov 2025 – 19 Nov 2026<extra></extra>"


def test_an_icon_is_an_icon_or_nothing():
    assert icon_text(":material/search_off:") == ":material/search_off:"
    assert icon_text("![x](http://evil)") == ""
