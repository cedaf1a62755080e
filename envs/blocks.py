"""The same answers as `envs.place` for a large group, without looking at all of its devices each time.

The devices of a group stand in blocks. Which device of a block is best is remembered until one of the block's nodes
changes. So is for each device a bound on when it can have room: an expected end never moves to the left while its run
goes on, so what was expected of it at an earlier moment is one, and so is its predicted finish. The device of the
smallest bound is looked at until the smallest bound is no bound but of this moment.
"""

import numpy as np

from synergai.envs.compile import kernel, small_kernel
from synergai.envs.place import could_fit, look_at, room_at_us, share_left
from synergai.envs.state import BLOCK, NEVER_US, NONE, admits, start_cost_us

BOUND = np.dtype(
    [
        ("at_us", "i8"),  # the device can take the option no sooner
        ("version", "i8"),  # of the device when this was worked out
        ("moment", "i8"),  # stamp of the moment at which it was known exactly
    ],
    align=True,
)


@small_kernel
def count_blocks(group):
    return (group.n_devices + BLOCK - 1) // BLOCK


@kernel
def forget_blocks(state, option, blocks, bounds):
    """Nothing is known of this option's group."""
    group = state.groups[option.group]
    for b in range(count_blocks(group)):
        blocks[b].version = NONE
        blocks[b].bounded = NONE
    for spot in range(option.first_spot, option.first_spot + group.n_devices):
        bounds[spot].version = NONE


@kernel
def look_at_blocks(state, queued, option, cpu, memory, whole, blocks, best):
    """Look again at those blocks of the group that have changed, and fill in the best of all."""
    group = state.groups[option.group]
    end = group.first_device + group.n_devices
    best.device = NONE
    best.free = 0
    for b in range(count_blocks(group)):
        room, first = blocks[b], group.first_device + b * BLOCK
        version = state.devices[first].block_version
        if room.version != version or room.whole < whole:
            look_at(state, queued, option, room, cpu, memory, whole, first, min(first + BLOCK, end))
            room.version = version
            if room.device != NONE and room.least < 0.0:
                room.least = share_left(state, state.devices[room.device], cpu, memory, option.units)
        best.free += room.free
        if room.device == NONE:
            continue
        tighter = room.warm == best.warm and room.least < best.least
        if best.device == NONE or room.warm > best.warm or tighter:
            best.device = room.device
            best.warm = room.warm
            best.least = room.least


@small_kernel
def find_soonest(room, bounds, first_spot, first, end):
    """The device of the smallest bound of a block."""
    room.soonest = NONE
    room.soonest_us = NEVER_US
    for d in range(first, end):
        at_us = bounds[first_spot + d].at_us
        if at_us < room.soonest_us:
            room.soonest = d
            room.soonest_us = at_us


@kernel
def bound_blocks(state, ends, ends_of, moment, queued, option, cpu, memory, blocks, bounds):
    """Bring the bounds of those devices up to date whose node has changed."""
    group = state.groups[option.group]
    first_spot, group_end = option.first_spot - group.first_device, group.first_device + group.n_devices
    for b in range(count_blocks(group)):
        room, first = blocks[b], group.first_device + b * BLOCK
        version, end = state.devices[first].block_version, min(first + BLOCK, group_end)
        if room.bounded == version:
            continue
        room.bounded = version
        for d in range(first, end):
            device, bound = state.devices[d], bounds[first_spot + d]
            if bound.version == device.version:
                continue
            bound.version = device.version
            bound.moment = NONE
            bound.at_us = NEVER_US
            if admits(state, queued, d) and could_fit(state, device, cpu, memory, option.units):
                bound.at_us, _ = room_at_us(
                    state, ends, ends_of, moment, device, d, cpu, memory, option.units, False
                )
        find_soonest(room, bounds, first_spot, first, end)


@kernel
def find_release_in_blocks(state, ends, ends_of, moment, queued, option, placed, blocks, bounds):
    """`place.find_release` for a large group."""
    cpu = max(option.cpu_milli, queued.cpu_floor)
    memory = max(option.memory_mib, queued.memory_floor)
    group = state.groups[option.group]
    first_spot, group_end = option.first_spot - group.first_device, group.first_device + group.n_devices
    bound_blocks(state, ends, ends_of, moment, queued, option, cpu, memory, blocks, bounds)
    while True:
        best, best_us = NONE, np.int64(NEVER_US)
        for b in range(count_blocks(group)):
            if blocks[b].soonest_us < best_us:
                best, best_us = b, blocks[b].soonest_us
        if best == NONE:
            return
        room = blocks[best]
        d = np.int64(room.soonest)
        bound = bounds[first_spot + d]
        at_us, others_ppm = room_at_us(
            state, ends, ends_of, moment, state.devices[d], d, cpu, memory, option.units, True
        )
        if bound.moment == moment:
            break
        bound.moment = moment
        bound.at_us = at_us
        first = group.first_device + best * BLOCK
        find_soonest(room, bounds, first_spot, first, min(first + BLOCK, group_end))
    placed.release_us = at_us
    placed.device = d
    placed.others_ppm = others_ppm
    placed.startup_us = start_cost_us(state, option, d, at_us)
