"""Server time and scenario time."""

from email.utils import formatdate

import pytest

from synergai.k8s_bridge.clock import ScenarioClock, ServerClock, format_time_us, parse_time_us


def test_at_speed_one_both_times_are_the_same():
    assert ScenarioClock(1.0, 12345).to_scenario(99) == 99


def test_at_speed_sixty_a_second_is_a_minute_of_scenario():
    assert ScenarioClock(60.0, 1_000_000).to_scenario(2_000_000) == 61_000_000


def test_scenario_time_maps_back():
    clock = ScenarioClock(60.0, 1_000_000)
    assert clock.to_server(clock.to_scenario(7_654_321)) == 7_654_321


def test_a_timer_waits_shorter_at_speed():
    assert ScenarioClock(60.0, 0).real_seconds(60_000_000) == 1.0


def test_far_times_do_not_overflow_64_bits():
    assert ScenarioClock(1000.0, 0).to_scenario(253_402_300_799_000_000) < 2**63


def test_a_speed_of_zero_is_refused():
    with pytest.raises(ValueError, match="speed"):
        ScenarioClock(0.0)


def test_a_time_survives_its_text():
    assert parse_time_us(format_time_us(1_795_000_000_123_456)) == 1_795_000_000_123_456


def server_clock(wall_s: float) -> ServerClock:
    return ServerClock(wall=lambda: wall_s, monotonic=lambda: 0.0)


def test_a_local_clock_that_agrees_with_the_server_is_kept():
    clock = server_clock(784111777.4)
    clock.observe("Sun, 06 Nov 1994 08:49:37 GMT", clock.local_us(), clock.local_us())
    assert clock.offset_us == 0


def test_a_local_clock_that_is_behind_is_corrected_to_within_a_second():
    clock = server_clock(784111777.0 - 100)
    clock.observe("Sun, 06 Nov 1994 08:49:37 GMT", clock.local_us(), clock.local_us())
    assert abs(clock.now_us() - 784111777_500_000) <= 500_000


def test_a_nonsense_date_is_ignored():
    clock = server_clock(5.0)
    clock.observe("yesterday", 0, 1)
    assert clock.now_us() == 5_000_000


def test_now_never_runs_back():
    clock = server_clock(784111777.0)
    before = clock.now_us()
    clock.observe("Sun, 06 Nov 1994 08:00:00 GMT", clock.local_us(), clock.local_us())
    assert clock.now_us() >= before


class Hands:
    """A clock that a test moves, and the dates of a server's replies by it."""

    def __init__(self) -> None:
        self.s = 784111777.5
        self.clock = ServerClock(wall=lambda: self.s, monotonic=lambda: self.s)

    def reply(self, after_s: float, skew_s: float = 0.0) -> float:
        """The server's clock as it is known after a reply that came so much later; how far it is off, in seconds."""
        self.s += after_s
        now_us = self.clock.local_us()
        self.clock.observe(formatdate(self.s + skew_s, usegmt=True), now_us, now_us)
        return self.off()

    def off(self) -> float:
        return self.clock.now_us() / 1e6 - self.s


@pytest.mark.parametrize("skew_s", [10_800.0, -10_800.0])
def test_one_reply_of_a_server_with_a_wrong_clock_changes_nothing(skew_s: float):
    hands = Hands()
    hands.reply(0.0)
    assert abs(hands.reply(60.0, skew_s)) < 1.0


def test_of_two_servers_the_one_that_was_heard_first_is_believed():
    hands = Hands()
    hands.reply(0.0)
    assert {round(hands.reply(4.0, 10_800.0 if n % 2 else 0.0)) for n in range(20)} == {0}


def test_a_clock_that_was_set_forward_is_believed_after_ten_seconds():
    hands = Hands()
    hands.reply(0.0)
    off = [round(hands.reply(1.0, 7200.0)) for _ in range(11)]
    assert off == [0] * 10 + [7200]


def test_after_a_clock_was_set_back_time_goes_on_at_half_speed_until_it_is_right():
    hands = Hands()
    hands.reply(0.0)
    for _ in range(11):
        hands.reply(1.0, -100.0)
    began_us = hands.clock.now_us()
    hands.s += 10.0
    assert hands.clock.now_us() == began_us + 5_000_000
    hands.s += 300.0
    assert abs(hands.off() + 100.0) < 1.0
