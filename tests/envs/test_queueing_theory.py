"""Mean waits of textbook queues, within 2 % and within the 99.9 % interval of batch means (Student's t)."""

from math import factorial

import numpy as np
import pytest
from scipy import stats
from worlds import hand_tape, simulate, toy_profile, toy_setting, toy_table

SERVICE_S = 0.01
SAMPLE_S = 1e-8
SEEDS = 10
TOLERANCE = 0.02
BATCHES = 40
ARRIVALS = {0.5: 100_000, 0.7: 200_000, 0.9: 500_000}


def mm_c_wait_s(servers: int, load: float) -> float:
    """Erlang C: https://en.wikipedia.org/wiki/M/M/c_queue."""
    offered = servers * load
    last = offered**servers / factorial(servers) / (1.0 - load)
    queued = last / (sum(offered**k / factorial(k) for k in range(servers)) + last)
    return queued * SERVICE_S / (servers * (1.0 - load))


def md_1_wait_s(load: float) -> float:
    """Pollaczek and Khinchine for a constant service time."""
    return 0.5 * SERVICE_S * load / (1.0 - load)


def batch_means(servers: int, load: float, exponential: bool, seed: int) -> np.ndarray:
    """Of one run, its first fifth left out: mean wait, service and gap of each batch, seconds. Shape (BATCHES, 3)."""
    rng = np.random.default_rng([seed, servers, round(100 * load), exponential])
    n = ARRIVALS[load]
    gaps = rng.exponential(SERVICE_S / (load * servers), n)
    arrival_s = np.cumsum(gaps)
    work = rng.exponential(1.0, n) if exponential else np.ones(n)
    samples = np.maximum(np.round(work * SERVICE_S / SAMPLE_S), 1).astype(np.int64)
    table = toy_table(toy_profile("m", "gpu", SAMPLE_S))
    setting = toy_setting(table, [{"name": "n", "hardware": {"gpu": servers}}], SERVICE_S / SAMPLE_S)
    tape = hand_tape(setting, arrival_s, arrival_s + 1e6, samples=samples, seed=seed)
    sim = simulate(setting, tape, "fcfs", jobs=4096)
    wait_s = (sim.outcomes["start_us"] - tape.jobs["arrival_us"]) * 1e-6
    each = np.stack([wait_s, samples * SAMPLE_S, gaps], axis=1)[n // 5 :]
    return np.array([part.mean(axis=0) for part in np.array_split(each, BATCHES)])


def check(servers: int, load: float, exponential: bool, theory_s: float) -> None:
    """Mean services and gaps are known, so what of a batch's wait is due to theirs is taken out (control variates)."""
    means = np.concatenate([batch_means(servers, load, exponential, seed) for seed in range(SEEDS)])
    known = means[:, 1:] - np.array([SERVICE_S, SERVICE_S / (load * servers)])
    known = known if exponential else known[:, 1:]
    columns = np.column_stack([np.ones(len(means)), known])
    fit, *_ = np.linalg.lstsq(columns, means[:, 0], rcond=None)
    rest = means[:, 0] - columns @ fit
    freedom = len(means) - columns.shape[1]
    error = np.sqrt(rest @ rest / freedom * np.linalg.inv(columns.T @ columns)[0, 0])
    half = stats.t.ppf(0.9995, freedom) * error
    print(f"{servers} servers, load {load}: {fit[0] / theory_s - 1:+.2%} +- {half / theory_s:.2%}")
    assert fit[0] == pytest.approx(theory_s, rel=TOLERANCE)
    assert abs(fit[0] - theory_s) <= half + 1e-6, "the interval does not hold the theory's value"


@pytest.mark.slow
@pytest.mark.parametrize("load", ARRIVALS)
@pytest.mark.parametrize("servers", [1, 4])
def test_mean_wait_of_exponential_jobs_is_erlangs(servers: int, load: float) -> None:
    check(servers, load, True, mm_c_wait_s(servers, load))


@pytest.mark.slow
@pytest.mark.parametrize("load", ARRIVALS)
def test_mean_wait_of_equal_jobs_is_pollaczeks_and_khinchines(load: float) -> None:
    check(1, load, False, md_1_wait_s(load))


def test_waits_of_one_server_follow_lindleys_recursion_to_the_microsecond() -> None:
    rng = np.random.default_rng(5)
    arrival_us = np.cumsum(rng.integers(1, 20_000, 400))
    samples = rng.integers(1, 2_000_000, 400)
    table = toy_table(toy_profile("m", "gpu", SAMPLE_S))
    setting = toy_setting(table, [{"name": "n", "hardware": {"gpu": 1}}], SERVICE_S / SAMPLE_S)
    tape = hand_tape(setting, arrival_us * 1e-6, arrival_us * 1e-6 + 1e6, samples=samples)
    outcomes = simulate(setting, tape, "fcfs").outcomes
    free_us = 0
    for job, (at_us, size) in enumerate(zip(arrival_us, samples)):
        start_us = max(int(at_us), free_us)
        free_us = start_us + int(np.ceil(size * (1e6 * SAMPLE_S)))
        assert outcomes[job]["start_us"] == start_us
        assert abs(outcomes[job]["finish_us"] - free_us) <= 1  # 1e6 / 1e8 is not exact in binary
        free_us = int(outcomes[job]["finish_us"])
