"""Settings: a file over the defaults, options over both, and one line for whatever is wrong."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from synergai.k8s_bridge.config import CHANGEABLE, ConfigError, Settings, load_settings


def write(folder, text: str) -> str:
    path = folder / "bridge.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_wins_over_the_defaults(tmp_path):
    assert load_settings(write(tmp_path, "speed: 60")).speed == 60


def test_an_option_wins_over_the_file(tmp_path):
    assert load_settings(write(tmp_path, "speed: 60"), speed=2.0).speed == 2


def test_an_option_that_is_not_given_leaves_the_file(tmp_path):
    assert load_settings(write(tmp_path, "dry_run: true"), dry_run=None).dry_run


def test_an_empty_file_is_the_defaults(tmp_path):
    assert load_settings(write(tmp_path, "")) == Settings()
    assert load_settings(write(tmp_path, "# nothing yet\n\n")) == Settings()


def test_replays_come_every_ten_minutes_unless_a_file_says_otherwise(tmp_path):
    assert Settings().replay_every_s == 600
    assert load_settings(write(tmp_path, "replay_every_s: 0")).replay_every_s == 0


def test_a_lease_is_taken_unless_a_file_says_otherwise(tmp_path):
    assert Settings().lease == "auto"
    assert load_settings(write(tmp_path, "lease: off")).lease == "off"
    assert load_settings(write(tmp_path, "lease: 'off'")).lease == "off"


def test_without_a_lease_its_times_mean_nothing(tmp_path):
    assert load_settings(write(tmp_path, "{lease: off, bind_timeout_s: 30}")).bind_timeout_s == 30


def test_the_times_that_client_go_has_by_default_can_be_set(tmp_path):
    text = "{lease_duration_s: 15, lease_renew_deadline_s: 10, lease_retry_s: 2}"
    assert load_settings(write(tmp_path, text)).lease_duration_s == 15


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError):
        Settings().speed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sped: 60", "unknown key 'sped'"),
        ("speed: fast", "speed is 'fast'"),
        ("speed: -1", "speed is -1"),
        ("speed: .nan", "speed"),
        ("epoch: yesterday", "epoch is 'yesterday'"),
        ("- a", "a mapping of keys to values is due"),
        ("mode: active\nmode: paused", ":2: mode: the key stands twice"),
        ("a: [", "not YAML"),
        ("log_level: loud", "log_level is 'loud'"),
        ("replay_every_s: often", "replay_every_s is 'often'"),
        ("replay_every_s: -1", "replay_every_s is -1"),
        ("lease: maybe", "lease is 'maybe'"),
        ("lease: on", "lease is True"),
        ("lease_name: My Lease", "lease_name is 'My Lease'"),
        ("lease_namespace: a/b", "lease_namespace is 'a/b'"),
        ("lease_duration_s: 0", "lease_duration_s is 0"),
        (
            "lease_duration_s: 5",
            "lease_renew_deadline_s is 4.0: Value error, with twice bind_timeout_s that is 6",
        ),
        ("lease_renew_deadline_s: 6", "more than lease_duration_s 6"),
        ("bind_timeout_s: 2", "lease_renew_deadline_s is 4.0"),
        ("lease_retry_s: 4", "lease_retry_s is 4: Value error, must be below lease_renew_deadline_s 4"),
        ("lease_renew_deadline_s: 0.5", "lease_retry_s is 1.0"),
    ],
)
def test_a_bad_file_is_one_line_that_names_file_and_key(tmp_path, text, named):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert path in str(caught.value)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read config .*none.yaml"):
        load_settings(str(tmp_path / "none.yaml"))


def test_a_bad_option_is_called_an_option():
    with pytest.raises(ConfigError, match="option: speed"):
        load_settings(speed=0.0)


DOCS = Path(__file__).parents[2] / "docs" / "bridge.md"


def documented() -> dict[str, bool]:
    """The keys in the table of settings, and whether the bridge follows them while it runs."""
    text = DOCS.read_text(encoding="utf-8").split("\n## Settings\n")[1].split("\n### ")[0]
    firsts = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {key: bool(star) for first in firsts for key, star in re.findall(r"`(\w+)`( \*)?", first)}


def test_every_setting_is_in_the_table_of_the_docs_and_nothing_else():
    assert set(documented()) == set(Settings.model_fields)


def test_the_docs_say_which_settings_are_followed():
    assert {key for key, followed in documented().items() if followed} == CHANGEABLE
