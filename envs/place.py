"""Which device of a group an option would take, and when there is room.

Best start-up state first (engine cache and image, image, neither), then the tightest fit (least dominant share left
over), then the name; for a busy option the device with the earliest predicted release that makes room.
"""

from math import erf, exp, log, sqrt

import numpy as np

from synergai.envs.compile import kernel, small_kernel
from synergai.envs.state import NEVER_US, NONE, admits, start_cost_us

PLACED = np.dtype(
    [
        ("stamp", "i8"),  # of the survey that filled it in
        ("release_us", "i8"),  # from then on there is room; now if there is room, NEVER_US if there never is
        ("device", "i4"),  # NONE if no device can take it at all
        ("room", "i4"),
        ("version", "i8"),  # of the group when `room` was looked up
        ("searched", "i8"),  # stamp of the survey for which `find_release` was asked
        ("whole", "i4"),  # 1: `free` and `left` are filled in
        ("free", "i4"),  # how many of this option fit into the group now
        ("left", "f8"),  # dominant share of the node left over
        ("startup_us", "f8"),  # on the device, for a START when there is room
        ("others_ppm", "i8"),  # tenants of its node then
        ("blocks", "i8"),  # 1: something is known of the blocks of the group, if it is a large one
    ],
    align=True,
)
ROOM = np.dtype(
    [
        ("version", "i8"),  # of the block when it was looked at, NONE if it never was
        ("device", "i4"),  # the warmest and then tightest with room, NONE if there is none
        ("warm", "i4"),
        ("least", "f8"),  # dominant share left over there; below 0: not worked out yet
        ("free", "i8"),  # how many of the option fit into the block
        ("whole", "i8"),  # 1: `free` is filled in
        ("bounded", "i8"),  # version of the block when its devices' bounds were up to date, see `blocks`
        ("soonest", "i8"),  # the device of the smallest bound, NONE if none ever has room
        ("soonest_us", "i8"),  # that bound
    ],
    align=True,
)
"""Room for an option on some devices of its group."""
STRAGGLER_Z = 2.5
"""Beyond this many log-sds a run is a straggler (2-5 times as long), so half of the time elapsed is still to come."""


@small_kernel
def normal_cdf(z):
    return 0.5 * (1.0 + erf(z / sqrt(2.0)))


@small_kernel
def normal_quantile(p):
    """Inverse of `normal_cdf` to 4.5e-4 (Abramowitz and Stegun 26.2.23)."""
    tail = min(p, 1.0 - p)
    t = sqrt(-2.0 * log(max(tail, 1e-300)))
    z = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (
        1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    )
    return -z if p < 0.5 else z


@small_kernel
def expected_end_us(record, sigma, now_us):
    """When a running job is expected to end, given that it has run so long: the median of what is left of a
    log-normal around the predicted run time."""
    elapsed_us = now_us - record.start_us
    if elapsed_us <= 0 or record.run_us <= 0 or sigma <= 0.0:
        return max(record.finish_us, now_us + 1)
    z = log(elapsed_us / record.run_us) / sigma
    if z < -3.0:
        return record.finish_us
    if z > STRAGGLER_Z:
        return now_us + np.int64(0.5 * elapsed_us) + 1
    survival = 1.0 - normal_cdf(z)
    end_us = record.run_us * exp(sigma * normal_quantile(1.0 - 0.5 * survival))
    return record.start_us + max(np.int64(end_us), elapsed_us + 1)


@small_kernel
def fits(state, device, cpu_milli, memory_mib, units):
    node = state.nodes[device.node]
    return (
        node.ready == 1
        and node.pods_free >= 1
        and node.cpu_free >= cpu_milli
        and node.memory_free >= memory_mib
        and device.units_free >= units
    )


@small_kernel
def could_fit(state, device, cpu_milli, memory_mib, units):
    """Whether it would fit if nothing ran there."""
    node = state.nodes[device.node]
    return (
        node.ready == 1
        and node.cpu_milli >= cpu_milli
        and node.memory_mib >= memory_mib
        and device.units >= units
    )


@small_kernel
def how_many(state, device, cpu_milli, memory_mib, units):
    node = state.nodes[device.node]
    count = node.pods_free
    if cpu_milli > 0:
        count = min(count, node.cpu_free // cpu_milli)
    if memory_mib > 0:
        count = min(count, node.memory_free // memory_mib)
    if units > 0:
        count = min(count, np.int64(device.units_free // units))
    return max(count, 0)


@small_kernel
def share_left(state, device, cpu_milli, memory_mib, units):
    """Dominant share of the node that stays free after the option is placed."""
    node = state.nodes[device.node]
    left = (node.cpu_free - cpu_milli) / max(node.cpu_milli, 1)
    left = max(left, (node.memory_free - memory_mib) / max(node.memory_mib, 1))
    if device.units > 0:
        left = max(left, (device.units_free - units) / device.units)
    return left


@kernel
def expect_end(state, ends, r):
    """Fill in when slot r is expected to end; of something without a profile nothing is known."""
    record = state.running[r]
    ends[r] = NEVER_US
    if record.option != NONE:
        ends[r] = expected_end_us(record, state.options[record.option].sigma, state.clock[0].now_us)


@small_kernel
def room_at_us(state, ends, ends_of, moment, device, d, cpu_milli, memory_mib, units, expected):
    """When enough of what runs on the device's node is expected to have ended, NEVER_US if that never suffices; and
    the share of those that are still there then. If not `expected`, by the predicted finishes, which are no later."""
    node = state.nodes[device.node]
    others_ppm = node.busy_ppm
    now_us = state.clock[0].now_us
    cpu, memory, free, pods = node.cpu_free, node.memory_free, np.int64(device.units_free), node.pods_free
    last_us = np.int64(NONE)
    last_slot = np.int64(NONE)
    while cpu < cpu_milli or memory < memory_mib or free < units or pods < 1:
        # the next release after (last_us, last_slot): few jobs share a node, so a scan per step is the fast way
        best_us = np.int64(NEVER_US)
        best_slot = np.int64(NONE)
        r = node.first_running
        while r != NONE:
            if not expected:
                end_us = state.running[r].finish_us if state.running[r].option != NONE else np.int64(NEVER_US)
            else:
                if ends_of[r] < moment:
                    expect_end(state, ends, r)
                    ends_of[r] = moment
                end_us = ends[r]
            later = end_us > last_us or (end_us == last_us and r > last_slot)
            if later and (end_us < best_us or (end_us == best_us and r < best_slot)):
                best_us = end_us
                best_slot = np.int64(r)
            r = state.running[r].next
        if best_slot == NONE:
            return np.int64(NEVER_US), others_ppm
        ended = state.running[best_slot]
        others_ppm -= ended.share_ppm
        cpu += ended.cpu_milli
        memory += ended.memory_mib
        pods += 1
        if ended.device == d:
            free += ended.units
        last_us, last_slot = best_us, best_slot
    return max(last_us, now_us + 1), others_ppm


@small_kernel
def look_at(state, queued, option, room, cpu, memory, whole, first, end):
    """Fill in the room on the devices from `first` to before `end`."""
    start_spot = option.first_spot - state.groups[option.group].first_device
    found, warmest, least, free = np.int64(NONE), np.int8(NONE), -1.0, 0  # least: not before it is needed
    for d in range(first, end):
        device = state.devices[d]
        if not admits(state, queued, d) or not fits(state, device, cpu, memory, option.units):
            continue
        if whole:
            free += how_many(state, device, cpu, memory, option.units)
        warm = state.warmth[start_spot + d]
        if found == NONE or warm > warmest:
            found, warmest, least = d, warm, -1.0
        elif warm == warmest:
            if least < 0.0:
                least = share_left(state, state.devices[found], cpu, memory, option.units)
            left = share_left(state, device, cpu, memory, option.units)
            if left < least:
                found, least = d, left
    room.device = found
    room.warm = warmest
    room.least = least
    room.free = free
    room.whole = whole


@small_kernel
def find_room(state, queued, option, placed, whole, best):
    """Fill `placed` with the warmest and then tightest device of the group that has room now; `best` is scratch."""
    cpu = max(option.cpu_milli, queued.cpu_floor)
    memory = max(option.memory_mib, queued.memory_floor)
    group = state.groups[option.group]
    end = group.first_device + group.n_devices
    look_at(state, queued, option, best, cpu, memory, whole, group.first_device, end)
    take_room(state, option, placed, cpu, memory, whole, best)


@small_kernel
def take_room(state, option, placed, cpu, memory, whole, best):
    """What the best device means for a START now. What no rule asks for (`free`, `left`) is filled in for `whole`
    alone."""
    placed.device = best.device
    placed.whole = whole
    placed.free = best.free if whole else 0
    placed.left = 1.0
    if best.device == NONE:
        placed.room = 0
        placed.release_us = NEVER_US
        return
    if whole:
        placed.left = share_left(state, state.devices[best.device], cpu, memory, option.units)
    placed.room = 1
    placed.release_us = state.clock[0].now_us
    placed.startup_us = start_cost_us(state, option, best.device, placed.release_us)
    placed.others_ppm = state.nodes[state.devices[best.device].node].busy_ppm


@small_kernel
def find_release(state, ends, ends_of, moment, queued, option, placed):
    """Fill `placed`, which has no room now, with the device of the group that is expected to have it first."""
    cpu = max(option.cpu_milli, queued.cpu_floor)
    memory = max(option.memory_mib, queued.memory_floor)
    group = state.groups[option.group]
    for d in range(group.first_device, group.first_device + group.n_devices):
        device = state.devices[d]
        if admits(state, queued, d) and could_fit(state, device, cpu, memory, option.units):
            at_us, others_ppm = room_at_us(
                state, ends, ends_of, moment, device, d, cpu, memory, option.units, True
            )
            if at_us < placed.release_us:
                placed.release_us = at_us
                placed.device = d
                placed.others_ppm = others_ppm
    if placed.device != NONE:
        placed.startup_us = start_cost_us(state, option, placed.device, placed.release_us)


@kernel
def ever_fits(state, option):
    """Whether an empty node of the option's group could take it."""
    group = state.groups[option.group]
    for d in range(group.first_device, group.first_device + group.n_devices):
        device = state.devices[d]
        node = state.nodes[device.node]
        if (
            node.cpu_milli >= option.cpu_milli
            and node.memory_mib >= option.memory_mib
            and device.units >= option.units
        ):
            return True
    return False


@kernel
def choose_dictionary(state):
    """Mark, per model and group, the best throughput among what fits a node; again when a node's size changes."""
    clock = state.clock[0]
    for m in range(clock.n_models):
        model = state.models[m]
        for g in range(clock.n_groups):
            best = NONE
            for o in range(model.first_option, model.first_option + model.n_options):
                option = state.options[o]
                if option.group != g:
                    continue
                option.dictionary = 0
                if ever_fits(state, option) and (
                    best == NONE or option.per_sample_us < state.options[best].per_sample_us
                ):
                    best = o
            if best != NONE:
                state.options[best].dictionary = 1
        model.first_best = NONE
        for o in range(model.first_option + model.n_options - 1, model.first_option - 1, -1):
            if state.options[o].dictionary == 1:
                state.options[o].next_best = model.first_best
                model.first_best = o
