"""Settings: what cannot be used is named in one sentence, before anything starts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gdp_core.errors import BadSetting
from gdp_core.settings import Settings, settings


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings from outside."""
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields.values():
        for name in field.validation_alias.choices:  # type: ignore[union-attr]
            monkeypatch.delenv(str(name), raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"GDP_OIDC_ISSUER": "https://id.acme.test"}, "GDP_OIDC_CLIENT_ID is missing"),
        ({"GDP_OIDC_CLIENT_ID": "gdp"}, "GDP_OIDC_ISSUER is missing"),
        ({"GDP_BASE_URL": "https://acme.test/growth"}, "GDP_BASE_URL: must be an address without a path"),
        ({"GDP_BASE_URL": "ftp://acme.test"}, "GDP_BASE_URL: must be an address like"),
        ({"GDP_DOOR_URL": "https://"}, "GDP_DOOR_URL: must be an address like"),
        ({"GDP_DOOR_URL": "https://ann:secret@acme.test"}, "GDP_DOOR_URL: must be an address like"),
        ({"GDP_TRUSTED_PROXIES": "10.0.0.0/8, proxy"}, "GDP_TRUSTED_PROXIES: must be addresses or networks"),
        ({"GDP_WORKERS": "0"}, "GDP_WORKERS: "),
        ({"GDP_LOG_LEVEL": "loud"}, "GDP_LOG_LEVEL: "),
    ],
)
def test_what_cannot_be_used_is_named(given: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting) as caught:
        settings()
    assert f"Correct the environment or .env: {sentence}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "secret" not in str(caught.value)


def test_left_empty_is_not_set(tmp_path: Path) -> None:
    names = ("DATABASE_URL", "GDP_DATA_DIR", "GDP_DOOR_PORT", "GDP_OIDC_ISSUER", "GDP_ENCRYPTION_KEYS", "GDP_BASE_URL")
    (tmp_path / ".env").write_text("".join(f"{name}=\n" for name in names))
    assert settings() == Settings()
    assert settings().oidc_issuer is None
    assert settings().data_dir == Path("data")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("growth.acme.test", "https://growth.acme.test"),
        ("https://growth.acme.test/", "https://growth.acme.test"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
    ],
)
def test_addresses_are_completed(written: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDP_BASE_URL", written)
    assert settings().dashboard_address == meant
