"""Settings: read once, everything checked together, every fault at once."""

import logging
from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError

from mastertrade.shared.config import CoreSettings, PostgresSettings, Settings, load_settings
from mastertrade.shared.errors import ConfigurationError
from mastertrade.shared.logging import redact


class SampleSettings(Settings):
    fee: float = Field(0.001, ge=0, lt=1, validation_alias="SAMPLE_FEE")
    pairs: tuple[str, ...] = Field(("BTC/USDT",), validation_alias="SAMPLE_PAIRS")
    limits: dict[str, float] = Field(default_factory=dict, validation_alias="SAMPLE_LIMITS")
    sample_api_key: SecretStr | None = None


def faults_of(environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(CoreSettings, PostgresSettings, SampleSettings, environ=environ)
    return str(caught.value).splitlines()


def test_every_fault_is_reported_at_once_with_name_value_rule_and_next_step() -> None:
    lines = faults_of(
        {
            "POSTGRES_PORT": "five",
            "POSTGRES_POOL_MAX_SIZE": "1000",
            "SAMPLE_FEE": "nan",
            "MASTERTRADE_HOME": "relative/folder",
            "MASTERTRADE_LOG_LEVEL": "loud",
            "MASTERTRADE_LOG_LEVLE": "INFO",
        }
    )
    assert lines[0] == "6 settings cannot be used:"
    text = "\n".join(lines[1:])
    assert "POSTGRES_PORT 'five': input should be a valid integer" in text
    assert "unset it for 5432" in text
    assert "POSTGRES_POOL_MAX_SIZE '1000': input should be less than or equal to 100; unset it for 10" in text
    assert "SAMPLE_FEE 'nan': input should be a finite number" in text
    assert "MASTERTRADE_HOME 'relative/folder': must be an absolute path" in text
    assert "MASTERTRADE_LOG_LEVEL 'LOUD'" in text
    assert "MASTERTRADE_LOG_LEVLE: there is no such setting; did you mean MASTERTRADE_LOG_LEVEL?" in text
    assert len(lines) == 7


def test_defaults_are_those_of_the_founding_document() -> None:
    core, postgres = load_settings(CoreSettings, PostgresSettings, environ={})
    assert (postgres.host, postgres.port, postgres.user, postgres.database) == (
        None,
        5432,
        "mastertrade",
        "mastertrade",
    )
    assert postgres.password.get_secret_value() == "mastertrade"
    assert (postgres.pool_min_size, postgres.pool_max_size) == (1, 10)
    assert core.home.is_absolute()
    assert core.home.name == "mastertrade"


def test_an_empty_variable_counts_as_unset() -> None:
    (postgres,) = load_settings(PostgresSettings, environ={"POSTGRES_HOST": "", "POSTGRES_PORT": ""})
    assert (postgres.host, postgres.port) == (None, 5432)


def test_the_home_folder_is_the_one_named(tmp_path: Path) -> None:
    (core,) = load_settings(CoreSettings, environ={"MASTERTRADE_HOME": str(tmp_path), "LOG_LEVEL": "debug"})
    assert core.home == tmp_path
    assert core.log_level == "DEBUG"


def test_lists_are_written_with_commas_or_as_json() -> None:
    (plain,) = load_settings(
        SampleSettings, environ={"SAMPLE_PAIRS": "BTC/USDT, ETH/USDT", "SAMPLE_LIMITS": '{"a": 1}'}
    )
    assert plain.pairs == ("BTC/USDT", "ETH/USDT")
    assert plain.limits == {"a": 1.0}
    (as_json,) = load_settings(SampleSettings, environ={"SAMPLE_PAIRS": '["BTC/USDT"]'})
    assert as_json.pairs == ("BTC/USDT",)


def test_a_broken_list_is_a_fault_like_any_other() -> None:
    assert any("SAMPLE_LIMITS '{broken'" in line for line in faults_of({"SAMPLE_LIMITS": "{broken"}))


def test_a_secret_is_never_shown() -> None:
    class Strict(Settings):
        strict_token: SecretStr = Field(min_length=40)

    with pytest.raises(ConfigurationError) as caught:
        load_settings(Strict, environ={"STRICT_TOKEN": "hunter2hunter2"})
    assert "STRICT_TOKEN (hidden)" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    (postgres,) = load_settings(PostgresSettings, environ={"POSTGRES_PASSWORD": "hunter2hunter2"})
    assert "hunter2" not in f"{postgres!r} {postgres}"
    assert redact("refused: hunter2hunter2") == "refused: (hidden)"
    load_settings(PostgresSettings, environ={})
    assert redact("mastertrade") == "mastertrade", "a default everybody can read is no secret"


def test_a_required_setting_that_is_missing_is_named() -> None:
    class Required(Settings):
        needed: int

    with pytest.raises(ConfigurationError, match="NEEDED: field required"):
        load_settings(Required, environ={})


def test_the_variable_of_the_tests_is_known() -> None:
    load_settings(CoreSettings, environ={"MASTERTRADE_TEST_DATA": "/data"})


def test_leftovers_of_the_older_system_only_warn(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_settings(CoreSettings, environ={"COSMOS_KEY": "abc", "AZURE_TENANT": "x"})
    assert "AZURE_TENANT, COSMOS_KEY" in caplog.text
    assert "abc" not in caplog.text


def test_the_address_escapes_what_a_password_may_hold() -> None:
    environ = {"POSTGRES_HOST": "::1", "POSTGRES_PASSWORD": "a/b@c:d?#", "POSTGRES_DB": "my db"}
    (postgres,) = load_settings(PostgresSettings, environ=environ)
    assert postgres.dsn == "postgresql://mastertrade:a%2Fb%40c%3Ad%3F%23@[::1]:5432/my%20db?sslmode=prefer"


def test_a_socket_folder_is_an_address_too() -> None:
    settings = PostgresSettings(host="/run/pg")
    assert settings.dsn == "postgresql://mastertrade:mastertrade@/mastertrade?host=%2Frun%2Fpg&port=5432"


def test_without_a_host_there_is_no_address() -> None:
    with pytest.raises(ConfigurationError, match="POSTGRES_HOST"):
        _ = PostgresSettings().dsn


def test_pool_sizes_must_fit_each_other() -> None:
    lines = faults_of({"POSTGRES_POOL_MIN_SIZE": "5", "POSTGRES_POOL_MAX_SIZE": "2"})
    assert lines[1].strip() == "POSTGRES_POOL_MAX_SIZE '2': must not be below POSTGRES_POOL_MIN_SIZE 5; unset it for 10"
    lines = faults_of({"POSTGRES_POOL_MIN_SIZE": "50"})
    assert "must not be below POSTGRES_POOL_MIN_SIZE 50" in lines[1]


def test_making_settings_by_hand_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PORT", "6000")
    monkeypatch.setenv("port", "6001")
    assert PostgresSettings().port == 5432
    assert PostgresSettings(port=6002).port == 6002
    with pytest.raises(ValidationError):
        PostgresSettings(prot=1)  # type: ignore[call-arg]


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        PostgresSettings().port = 1  # type: ignore[misc]
