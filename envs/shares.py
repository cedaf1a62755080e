"""Who gets the places of a candidate list where more waits than it holds: the highest priority first, and no namespace
more than a third while others wait.

The compiled list knows neither. Where several namespaces or priorities wait and not everything fits, what stands behind
the rules' picks and the ageing share is chosen here anew, by the same keys. A queue of one namespace and one priority
has the list that the simulator makes.
"""

from collections import Counter

import numpy as np

from synergai.envs.candidates import (
    DONE,
    KEEP,
    MAX_CANDIDATES,
    N_RULES,
    Candidates,
    Scratch,
    fill_features,
    set_mask,
)
from synergai.envs.features import DUE, FIRST_PICK
from synergai.envs.state import NONE, ClusterState

THIRD = MAX_CANDIDATES // 3
FEW = 2 * KEEP
"""Jobs of each priority and namespace that are looked at closely, by each of three keys."""


def share_out(state: ClusterState, scratch: Scratch, out: Candidates) -> int | None:
    """Give the places of a list just made to whom they belong; the number of legal actions, None where it may stay."""
    n = int(state.clock[0]["n_queued"])
    if scratch.survey.counts[0]["n_open"] <= MAX_CANDIDATES or not _competes(state.queue[:n]):
        return None
    kept = _prefix(out)
    chosen = _choose(state, scratch, out.pair[:kept].tolist())
    done = bool(out.mask[DONE])
    out.rows[kept:] = 0.0
    out.mask[:] = False
    for array in (out.job, out.option, out.klass, out.pair):
        array[len(chosen) :] = 0
    out.pair[kept : len(chosen)] = chosen[kept:]
    out.n[0] = len(chosen)
    legal = int(set_mask(state, scratch.survey, out, done))
    if legal > 1:
        scratch.stamp[0] += 1  # rows of jobs are taken over from rows of one list
        fill_features(state, scratch, out)
    return legal


def _competes(queue: np.ndarray) -> bool:
    return any(queue[name].min() != queue[name].max() for name in ("namespace", "priority"))


def _prefix(out: Candidates) -> int:
    """How many rows are somebody's pick, or what the ageing share asks for; they stand first."""
    marked = np.flatnonzero(out.rows[: out.n[0], [*range(FIRST_PICK, FIRST_PICK + N_RULES), DUE]].any(axis=1))
    extra = int(out.picks[N_RULES])
    return max(int(marked[-1]) if len(marked) else -1, -1 if extra == DONE else extra) + 1


def _choose(state: ClusterState, scratch: Scratch, chosen: list[int]) -> list[int]:
    """The pairs of the list, those that stand already first."""
    survey = scratch.survey
    pairs = survey.pairs[: int(survey.counts[0]["n_pairs"])]
    owners = state.queue["namespace"]
    held = Counter(owners[pairs["j"][chosen]].tolist())
    order = [*_late(state, scratch), *_in_order(state, scratch)]
    named = list(zip(order, owners[pairs["j"][order]].tolist()))
    taken = set(chosen)
    for most in (THIRD, MAX_CANDIDATES):
        for p, owner in named:
            if len(chosen) == MAX_CANDIDATES:
                return chosen
            if p not in taken and held[owner] < most:
                taken.add(p)
                held[owner] += 1
                chosen.append(p)
    return chosen


def _late(state: ClusterState, scratch: Scratch) -> list[int]:
    """The fastest start of the oldest and of the newest late job."""
    n = int(state.clock[0]["n_queued"])
    queue, fast = state.queue[:n], scratch.survey.jobs["fast"][:n]
    late = np.flatnonzero((fast != NONE) & (queue["deadline_us"] <= state.clock[0]["now_us"]))
    if not len(late):
        return []
    arrival_us = queue["arrival_us"][late]
    return [int(fast[late[i]]) for i in (arrival_us.argmin(), arrival_us.argmax())]


def _in_order(state: ClusterState, scratch: Scratch) -> list[int]:
    """The first few pairs of each priority, namespace and class by slack, run time, relative speed and time to spare:
    the highest priority first, the best of every namespace before the second best of any."""
    queue = state.queue[: int(state.clock[0]["n_queued"])]
    owner, level = queue["namespace"].astype(np.int64), -queue["priority"].astype(np.int64)
    owner += (level - level.min()) * (int(owner.max()) + 1)  # of one priority, from here on
    jobs = _few(queue, scratch.survey.jobs["slack_us"][: len(queue)], owner)
    first, many = (scratch.survey.jobs[name][jobs].astype(np.int64) for name in ("first_pair", "n_pairs"))
    pairs = np.repeat(first - np.cumsum(many) + many, many) + np.arange(int(many.sum()))
    some, j = scratch.survey.pairs[pairs], np.repeat(jobs, many)
    legal = (some["start"] == 1) | (some["hold"] == 1)
    pairs, some, j = pairs[legal], some[legal], j[legal]
    if not len(pairs):
        return []
    klass = state.options["klass"][some["option"]].astype(np.int64)
    group = owner[j] * int(state.clock[0]["n_classes"]) + klass
    found = [_first(group, key) for key in _keys(state, scratch, some, j, queue[j])]
    which, rank = (np.concatenate(parts) for parts in zip(*found))
    key = np.repeat(np.arange(len(found)), [len(members) for members, _ in found])
    place = _place(owner[j[which]], (rank, klass[which], key))
    order = np.lexsort((owner[j[which]], place, level[j[which]]))
    return pairs[which[order]].tolist()


def _few(queue: np.ndarray, slack_us: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Rows of the jobs that may be among the first of their owner, by what is known of a job without its options."""
    best_us = np.maximum(queue["best_us"], 1)
    keys = (slack_us, best_us, slack_us / best_us)
    taken = np.bincount(owner)[owner] <= FEW
    for crowd in np.unique(owner[~taken]):
        rows = np.flatnonzero(owner == crowd)
        for key in keys:
            taken[rows[np.argpartition(key[rows], FEW - 1)[:FEW]]] = True
    return np.flatnonzero(taken)


def _keys(
    state: ClusterState, scratch: Scratch, some: np.ndarray, j: np.ndarray, queue: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Those of the compiled list; smaller is better."""
    e_us = np.maximum(some["e_us"], 1).astype(np.float64)
    left_us = queue["deadline_us"] - state.clock[0]["now_us"]
    return (
        scratch.survey.jobs["slack_us"][j].astype(np.float64),
        e_us,
        e_us / np.maximum(queue["best_us"], 1),
        (some["wait_us"] + some["e_us"] - left_us) / e_us,
    )


def _first(group: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The members of each group with the KEEP smallest keys, and their ranks there."""
    order = np.lexsort((key, group))
    rank = _ranks(group[order])
    kept = rank < KEEP
    return order[kept], rank[kept]


def _ranks(sorted_groups: np.ndarray) -> np.ndarray:
    """Of each element within its group."""
    starts = np.flatnonzero(np.diff(sorted_groups, prepend=sorted_groups[0] - 1))
    lengths = np.diff(starts, append=len(sorted_groups))
    return np.arange(len(sorted_groups)) - np.repeat(starts, lengths)


def _place(owner: np.ndarray, by: tuple[np.ndarray, ...]) -> np.ndarray:
    """Which of its owner's an element is, in the order of `by`, most important first."""
    order = np.lexsort((*reversed(by), owner))
    place = np.empty(len(owner), np.int64)
    place[order] = _ranks(owner[order])
    return place
