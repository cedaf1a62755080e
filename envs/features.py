"""What a scheduler sees of a candidate: one versioned table, and the compiled function that fills it in.

All features are dimensionless with fixed squashings and ranges, without ids, seconds or node counts, so a policy
trained on one cluster reads any other. The table's hash is part of every checkpoint. `soft(x) = x / (1 + |x|)`,
`symlog(x) = sign(x) log(1 + |x|)`. `e'` is the run time e corrected by what was seen of the option, `sigma'` what is
still not known of it (`envs/calibration.py`).
"""

import hashlib
from math import erf, exp, log, sqrt
from typing import NamedTuple

from synergai.envs.calibration import expected_us
from synergai.envs.compile import kernel, small_kernel
from synergai.envs.likely import seen_price
from synergai.envs.outlook import chance_seen
from synergai.envs.rules import RULES
from synergai.envs.state import NONE, share_ppm, slow_down, transfer_us

FEATURES_VERSION = 3


class Feature(NamedTuple):
    name: str
    formula: str
    low: float
    high: float
    neutral: float
    """What it is where its input is not known or not built yet."""


CANDIDATE = (
    Feature("speed", "clip(log(e / e*), 0, 5) / 5", 0, 1, 0),
    Feature("wait", "soft(w / e)", 0, 1, 0),
    Feature("z", "soft(((d - now - w - e) / (sigma e)) / 4)", -1, 1, 0),
    Feature("p_ontime", "Phi((d - now - w - e) / (sigma e))", 0, 1, 0.5),
    Feature("slack", "soft((d - now - w - e) / e)", -1, 1, 0),
    Feature("room", "1 if it can START now, 0 if it would be a HOLD", 0, 1, 1),
    Feature("startup_share", "start-up / e", 0, 1, 0),
    Feature("transfer_share", "transfer of the input / e", 0, 1, 0),
    Feature("node_share", "dominant share of the node's total that it takes", 0, 1, 0),
    Feature("left", "dominant share of the node left over", 0, 1, 1),
    Feature("energy", "clip(log(E / E_min), 0, 6) / 6", 0, 1, 0),
    Feature("slowdown", "clip(slow-down suffered there - 1, 0, 1)", 0, 1, 0),
    Feature(
        "inflicted", "soft(sum over the tenants there of the rise of 1 - p_ontime that it causes)", 0, 1, 0
    ),
    Feature("advantage", "soft(log(e / e*) - mean of the mix on that class)", -1, 1, 0),
    Feature("pressure", "soft(queued work whose best class this is / (capacity tau))", 0, 1, 0),
    Feature("price", "clip(log opportunity cost by the capacity LP's duals, 0, 5) / 5", 0, 1, 0),
    Feature("free", "min(free of this option in the group, 8) / 8", 0, 1, 0),
    Feature("devices", "log2(1 + devices in the group) / 10", 0, 1, 0),
    Feature("next_release", "soft(wait until the next release in the group / e), 0 with room", 0, 1, 0),
    Feature("regret", "soft((f of the job's best other class - f) / e)", -1, 1, 0),
    Feature("drift", "clip(EWMA of log(observed / predicted), -2, 2) / 2", -1, 1, 0),
    Feature("confidence", "runs seen / (runs seen + 5)", 0, 1, 0),
    Feature("seen_speed", "clip(log(e' / least e' of the job), 0, 5) / 5", 0, 1, 0),
    Feature("seen_z", "soft(((d - now - w - e') / (sigma' e')) / 4)", -1, 1, 0),
    Feature("seen_p", "Phi((d - now - w - e') / (sigma' e'))", 0, 1, 0.5),
    Feature("seen_else", "the best seen_p of the job on another class, 0 if there is none", 0, 1, 0),
    Feature("seen_price", "soft(2 (log of its price over the cheapest's + log(e' / e)))", -1, 1, 0),
    Feature("due", "1 if the ageing share asks for it", 0, 1, 0),
) + tuple(Feature(f"pick_{rule}", f"1 if it is the pick of {rule}", 0, 1, 0) for rule in RULES)
JOB = (
    Feature("job_slack", "soft((d - now - e*) / e*)", -1, 1, 0),
    Feature("job_age", "soft(age / (4 e*))", 0, 1, 0),
    Feature("job_lateness", "soft(lateness / e*)", 0, 1, 0),
    Feature("job_late", "1 after the deadline", 0, 1, 0),
    Feature("job_size", "soft(log(e* / tau))", -1, 1, 0),
    Feature("job_sigma", "clip(sigma, 0, 1)", 0, 1, 0.25),
    Feature("job_in_time", "share of its classes still in time", 0, 1, 0),
    Feature("job_reach", "share of the cluster's classes that can serve it", 0, 1, 0),
    Feature("job_attempts", "min(attempts, 4) / 4", 0, 1, 0),
    Feature("job_priority", "soft(priority / 1000)", -1, 1, 0),
    Feature("job_chance", "the best seen_p of all its pairs", 0, 1, 0),
)
GLOBAL = (
    Feature("backlog", "soft(queued work / (capacity tau))", 0, 1, 0),
    Feature("backlog_feasible", "the same of jobs that some option serves in time", 0, 1, 0),
    Feature("backlog_late", "the same of late jobs", 0, 1, 0),
    Feature("held", "share of the queue on hold", 0, 1, 0),
    Feature("busy", "share of the capacity in use, mean over devices", 0, 1, 0),
    Feature("rho_short", "soft(arriving work over 5 tau / capacity)", 0, 1, 0),
    Feature("rho_long", "soft(arriving work over 50 tau / capacity)", 0, 1, 0),
    Feature("rho_trend", "clip(log(rho_short / rho_long), -2, 2) / 2", -1, 1, 0),
    Feature("gap_cv", "soft(coefficient of variation of the arrival gaps)", 0, 1, 0.5),
    Feature("slack_low", "soft(0.1 quantile of slack / e* over the queue)", -1, 1, 0),
    Feature("slack_mid", "soft(median of the same)", -1, 1, 0),
    Feature("slack_high", "soft(0.9 quantile of the same)", -1, 1, 0),
    Feature("energy_weight", "the weight of energy against deadlines", 0, 1, 0),
    Feature("idle_time", "soft(time since the last arrival / tau)", 0, 1, 0),
)
N_CANDIDATE = len(CANDIDATE)
N_JOB = len(JOB)
N_ROW = N_CANDIDATE + N_JOB
N_GLOBAL = len(GLOBAL)
FIRST_PICK = N_CANDIDATE - len(RULES)
DUE = FIRST_PICK - 1
BACKLOG = [feature.name for feature in GLOBAL].index("backlog")
ENERGY_WEIGHT = [feature.name for feature in GLOBAL].index("energy_weight")
SIGMA = [feature.name for feature in JOB].index("job_sigma")
"""The one feature of a job that differs from option to option."""


def schema_hash() -> str:
    """Names a checkpoint's view of the world; a checkpoint of another one is refused."""
    rows = [f"v{FEATURES_VERSION}"] + [repr(tuple(f)) for f in CANDIDATE + JOB + GLOBAL]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]


@small_kernel
def soft(x):
    return x / (1.0 + abs(x))


@small_kernel
def clip(x, low, high):
    return min(max(x, low), high)


@small_kernel
def p_ontime(spare_us, sigma, e_us):
    return 0.5 * (1.0 + erf(spare_us / max(sigma * e_us, 1.0) / sqrt(2.0)))


@small_kernel
def other_class_finish(state, survey, pair):
    """Earliest finish of the pair's job on any other class, relative to now; the pair's own if there is none."""
    job = survey.jobs[pair.j]
    own = state.options[pair.option].klass
    best = -1.0
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        other = survey.pairs[p]
        if state.options[other.option].klass != own:
            f = float(other.wait_us + other.e_us)
            if best < 0.0 or f < best:
                best = f
    return best if best >= 0.0 else float(pair.wait_us + pair.e_us)


@kernel
def inflicted(state, pair):
    """How much likelier the tenants of the pair's node are to be late beside it: sum of the rises of 1 - p_ontime."""
    option, device = state.options[pair.option], state.devices[pair.device]
    node, now_us = state.nodes[device.node], state.clock[0].now_us
    mine = share_ppm(state, device.node, pair.device, option.cpu_milli, option.units)
    total = 0.0
    r = node.first_running
    while r != NONE:
        tenant = state.running[r]
        if tenant.option != NONE:
            sigma = state.options[tenant.option].sigma
            slower = slow_down(state, node.busy_ppm - tenant.share_ppm + mine) / tenant.slow
            spare_us = float(tenant.deadline_us - tenant.finish_us)
            more_us = max(float(tenant.finish_us - now_us), 0.0) * (slower - 1.0)
            before = p_ontime(spare_us, sigma, tenant.run_us)
            total += before - p_ontime(spare_us - more_us, sigma, tenant.run_us + more_us)
        r = tenant.next
    return max(total, 0.0)


@small_kernel
def fill_candidate(state, survey, pressure, outlook, p, row):
    """The candidate part of one row; the rule bits are set by `candidates`. `outlook` is of the pair's job."""
    pair = survey.pairs[p]
    option = state.options[pair.option]
    queued = state.queue[pair.j]
    device = state.devices[pair.device]
    node = state.nodes[device.node]
    now_us = state.clock[0].now_us
    e = float(max(pair.e_us, 1))
    best = float(max(queued.best_us, 1))
    spare = float(queued.deadline_us - now_us - pair.wait_us - pair.e_us)
    slower = log(max(e / best, 1e-9))
    energy = option.active_w * e * 1e-6
    seen = state.history[pair.option]
    row[0] = clip(slower, 0.0, 5.0) / 5.0
    row[1] = soft(pair.wait_us / e)
    row[2] = soft(spare / max(option.sigma * e, 1.0) / 4.0)
    row[3] = p_ontime(spare, option.sigma, e)
    row[4] = soft(spare / e)
    row[5] = float(pair.start)
    transfer = transfer_us(state, queued, option)
    row[6] = clip((pair.overhead_us - transfer) / e, 0.0, 1.0)
    row[7] = clip(transfer / e, 0.0, 1.0)
    units_share = option.units / device.units if device.units > 0 else 0.0
    share = max(option.cpu_milli / max(node.cpu_milli, 1), option.memory_mib / max(node.memory_mib, 1))
    row[8] = clip(max(share, units_share), 0.0, 1.0)
    row[9] = clip(pair.left, 0.0, 1.0)
    row[10] = clip(log(max(energy, 1e-9) / max(queued.best_energy_j, 1e-9)), 0.0, 6.0) / 6.0
    row[11] = clip(slow_down(state, pair.others_ppm) - 1.0, 0.0, 1.0)
    row[12] = soft(inflicted(state, pair)) if state.clock[0].slowdown > 0.0 else 0.0
    row[13] = soft(slower - option.advantage)
    row[14] = soft(pressure[option.klass])
    row[15] = clip(option.price, 0.0, 5.0) / 5.0
    row[16] = min(pair.free, 8) / 8.0
    row[17] = clip(log(1.0 + state.groups[option.group].n_devices) / log(2.0) / 10.0, 0.0, 1.0)
    row[18] = soft(pair.wait_us / e)
    row[19] = soft((other_class_finish(state, survey, pair) - pair.wait_us - e) / e)
    row[20] = clip(seen.log_ratio, -2.0, 2.0) / 2.0
    row[21] = seen.count / (seen.count + 5.0)
    chance, z = chance_seen(state, queued, pair)
    row[22] = clip(log(expected_us(seen, e) / outlook.least_us), 0.0, 5.0) / 5.0
    row[23] = soft(z / 4.0)
    row[24] = chance
    row[25] = outlook.other if option.klass == outlook.klass else outlook.chance
    row[26] = soft(2.0 * seen_price(option, seen))


@small_kernel
def fill_job(state, survey, j, sigma, outlook, row):
    """The job part of one row."""
    clock = state.clock[0]
    queued = state.queue[j]
    job = survey.jobs[j]
    best = float(max(queued.best_us, 1))
    lateness = max(float(clock.now_us - queued.deadline_us), 0.0)
    row[0] = soft(job.slack_us / best)
    row[1] = soft(max(clock.now_us - queued.arrival_us, 0) / (4.0 * best))
    row[2] = soft(lateness / best)
    row[3] = 1.0 if lateness > 0.0 else 0.0
    row[4] = soft(log(best / max(clock.tau_us, 1.0)))
    row[5] = clip(sigma, 0.0, 1.0)
    row[6] = job.in_time / max(job.reach, 1)
    row[7] = job.reach / max(clock.n_classes, 1)
    row[8] = min(queued.attempt, 4) / 4.0
    row[9] = soft(queued.priority / 1000.0)
    row[10] = outlook.chance


@small_kernel
def servers(clock):
    """How many mean jobs the cluster serves at once when it is full: lambda* x tau."""
    return max(clock.capacity_sps * clock.tau_us * 1e-6, 1e-3)


@kernel
def class_pressure(state, survey, pressure):
    """Per class, the queued work whose fastest option sits there / (devices of the class x tau)."""
    clock = state.clock[0]
    for h in range(clock.n_classes):
        pressure[h] = 0.0
    for j in range(clock.n_queued):
        queued = state.queue[j]
        if queued.best_klass != NONE:
            pressure[queued.best_klass] += queued.best_us
    for h in range(clock.n_classes):
        pressure[h] /= max(state.classes[h].capacity * clock.tau_us, 1.0)


@small_kernel
def busy_share(state):
    """Mean over devices of the share in use: of units, or of the node's cpu where the device has none."""
    clock = state.clock[0]
    total = 0.0
    for d in range(clock.n_devices):
        device = state.devices[d]
        if device.units > 0:
            total += 1.0 - device.units_free / device.units
        else:
            node = state.nodes[device.node]
            total += 1.0 - node.cpu_free / max(node.cpu_milli, 1)
    return clip(total / max(clock.n_devices, 1), 0.0, 1.0)


@small_kernel
def smallest(values, first, n, k):
    """The k-th smallest (from 0) of the first n values, which are reordered (Hoare's selection): none before it is
    larger. Those before `first` are known to be none larger than the rest."""
    low, high = first, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            return values[k]
    return values[k]


@kernel
def fill_global(state, survey, slacks, row):
    """The part that all candidates share. `slacks` is scratch of at least the queue's length."""
    clock = state.clock[0]
    total, feasible, late, held = 0.0, 0.0, 0.0, 0
    n = clock.n_queued
    for j in range(n):
        queued = state.queue[j]
        total += queued.best_us
        if survey.jobs[j].possible == 1:
            feasible += queued.best_us
        if queued.deadline_us <= clock.now_us:
            late += queued.best_us
        held += queued.hold_option != NONE
        slacks[j] = soft(survey.jobs[j].slack_us / float(max(queued.best_us, 1)))
    scale = servers(clock) * max(clock.tau_us, 1.0)
    row[0] = soft(total / scale)
    row[1] = soft(feasible / scale)
    row[2] = soft(late / scale)
    row[3] = held / max(n, 1)
    row[4] = busy_share(state)
    capacity = servers(clock)
    warm = 1.0 - exp(-clock.seq / 20.0)
    row[5] = soft(clock.work_short / capacity)
    row[6] = soft(clock.work_long / capacity)
    row[7] = warm * clip(log(max(clock.work_short, 1e-6) / max(clock.work_long, 1e-6)), -2.0, 2.0) / 2.0
    variance = max(clock.gap_square_s2 - clock.gap_mean_s**2, 0.0)
    row[8] = soft(sqrt(variance) / clock.gap_mean_s) if clock.gap_mean_s > 0.0 else 0.5
    if n > 0:
        few, half, most = int(0.1 * (n - 1)), int(0.5 * (n - 1)), int(0.9 * (n - 1))
        row[9] = smallest(slacks, 0, n, few)
        row[10] = smallest(slacks, few, n, half)
        row[11] = smallest(slacks, half, n, most)
    else:
        row[9], row[10], row[11] = 0.0, 0.0, 0.0
    row[12] = clip(clock.energy_weight, 0.0, 1.0)
    since_us = max(clock.now_us - clock.last_arrival_us, 0) if clock.last_arrival_us >= 0 else 0
    row[13] = soft(since_us / max(clock.tau_us, 1.0))
