"""What ``[schedule]`` may say, refused by its key where it is wrong."""

import pytest

from auspex._project import Manifest, ProjectError

CRON = 'kind = "cron"\nexpression = "@daily"'
SESSION = 'kind = "session"\ninstrument = "SPY"'


def manifest(schedule, deadline=60):
    return f'name = "n"\ndeadline_seconds = {deadline}\n[schedule]\n{schedule}\n[output]\nkind = "price"\ninstrument = "X"\nhorizon_seconds = 60\n'


@pytest.mark.parametrize("schedule", [
    'kind = "interval"\nseconds = 600\noverlap = "buffer_one"\ncatch_up_seconds = 3600\njitter_seconds = 59\npause_after_failures = 3\nin_session = "SPY"',
    f"{CRON}\nstart_at = 2026-01-31T08:00:00Z\nend_at = 2026-01-31T09:00:00+01:00",
    f'{CRON}\nstart_at = "2026-01-31T08:00:00Z"',
    f"{SESSION}\nevery_seconds = 300\njitter_seconds = 20", f"{SESSION}\nafter_open_seconds = 0", f"{SESSION}\nbefore_close_seconds = 86400",
    'kind = "bar_close"\ninstrument = "X"\ninterval = "1m"\noverlap = "allow_all"',
])
def test_what_may_be_said(schedule):
    assert Manifest.parse(manifest(schedule)).name == "n"


@pytest.mark.parametrize(("schedule", "key"), [
    (f'{CRON}\noverlap = "queue"', "overlap"), (f"{CRON}\ncatch_up_seconds = 9", "catch_up_seconds"),
    (f"{CRON}\ncatch_up_seconds = 2678401", "catch_up_seconds"), (f"{CRON}\njitter_seconds = 60", "jitter_seconds"),
    (f"{CRON}\njitter_seconds = -1", "jitter_seconds"), ('kind = "interval"\nseconds = 5\njitter_seconds = 5', "jitter_seconds"),
    (f"{CRON}\nstart_at = 2026-01-31T08:00:00", "start_at"), (f"{CRON}\nstart_at = 2026-01-31", "start_at"), (f'{CRON}\nend_at = "soon"', "end_at"),
    (f"{CRON}\nend_at = 5", "end_at"), (f"{CRON}\nstart_at = 2026-02-01T00:00:00Z\nend_at = 2026-01-01T00:00:00Z", "end_at"),
    (f"{CRON}\npause_after_failures = 0", "pause_after_failures"), (f"{CRON}\nin_session = true", "in_session"),
    (f'{SESSION}\nevery_seconds = 5\nin_session = "SPY"', "in_session"), (SESSION, "kind"),
    (f"{SESSION}\nevery_seconds = 5\nafter_open_seconds = 5", "kind"), (f"{SESSION}\nbefore_close_seconds = 86401", "before_close_seconds"),
    (f"{SESSION}\nevery_seconds = 0", "every_seconds"), (f"{CRON}\ncatchup_seconds = 60", "catchup_seconds"),
    ('kind = "interval"\nseconds = 31622401', "seconds"),
])
def test_what_is_refused_by_its_key(schedule, key):
    with pytest.raises(ProjectError, match=rf"schedule\.{key} "):
        Manifest.parse(manifest(schedule))


@pytest.mark.parametrize("expression", [
    "30 2 * * mon-fri", "*/15 9-17 * * sat-sun", "0 30 2 * * *", "@hourly", "@YEARLY", "0 0 29 2 *", "0 0 29 2 sun", "0 0 L-27 2 *", "0 0 LW * *",
    "0 9 15W * *", "0 9 * * MON#2", "0 9 * * 5L", "0 0 ? * ?", "0 0 30 2 mon", "0 0 L 2 fri#5",
])
def test_a_cron_expression_that_is_due_some_day(expression):
    assert Manifest.parse(manifest(f'kind = "cron"\nexpression = "{expression}"\nzone = "Europe/Berlin"')).name == "n"


@pytest.mark.parametrize(("expression", "words"), [
    ("0 0 30 2 *", "'0 0 30 2 *' is never due"), ("0 0 31 4,6 *", "is never due"), ("0 0 L-30 2 *", "is never due"), ("0 0 31W 2 *", "is never due"),
    ("* * * *", "it has 4 fields"), ("", "it has 0 fields"), ("60 * * * *", "'60' is no cron minute"), ("0 24 * * *", "'24' is no cron hour"),
    ("5-1 * * * *", "'5-1' is no cron minute"), ("*/0 * * * *", "'*/0' is no cron minute"), ("0 0 32 * *", "is no cron day of month"),
    ("0 0 * 13 *", "is no cron month"), ("0 0 * * mon#6", "is no cron day of week"), ("@never", "'@never' is no cron name"),
    ("1,,2 * * * *", "is no cron minute"),
])
def test_a_cron_expression_that_is_none_or_is_never_due(expression, words):
    with pytest.raises(ProjectError) as caught:
        Manifest.parse(manifest(f'kind = "cron"\nexpression = "{expression}"'))
    assert str(caught.value).startswith("auspex.toml: schedule.expression ") and words in str(caught.value)


def test_a_zone_that_is_none():
    for zone in ("Europe/Atlantis", "", "/etc/passwd", "../UTC"):
        with pytest.raises(ProjectError, match=r"schedule\.zone .* is no IANA time zone"):
            Manifest.parse(manifest(f'{CRON}\nzone = "{zone}"'))
