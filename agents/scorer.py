"""The network that scores candidates, compiled: no torch, one pass of a few tens of microseconds.

Each candidate is embedded from its features and the shared ones; embeddings are pooled over all candidates (mean and
maximum), over those of the same job and over those of the same hardware class (mean); a second layer sees the
candidate's embedding with the three pools and gives its logit. DONE's logit comes from the pool over all. To each logit
is added what the rules weigh whose pick the action is. So the result does not depend on the order of the candidates,
and any number of jobs, options and nodes will do.
"""

from typing import NamedTuple

import numpy as np

from synergai.envs.candidates import DONE, MAX_CANDIDATES, N_RULES
from synergai.envs.compile import kernel
from synergai.envs.features import FIRST_PICK, N_GLOBAL, N_ROW


class Weights(NamedTuple):
    """Float32 parameters; `H` is the width."""

    row: np.ndarray  # (N_ROW, H)
    shared: np.ndarray  # (N_GLOBAL, H)
    bias: np.ndarray  # (H,)
    own: np.ndarray  # (H, H)
    pool_all: np.ndarray  # (2 H, H), mean then maximum
    pool_job: np.ndarray  # (H, H), mean
    pool_class: np.ndarray  # (H, H), mean
    bias2: np.ndarray  # (H,)
    out: np.ndarray  # (H,)
    done: np.ndarray  # (2 H, H)
    done_shared: np.ndarray  # (N_GLOBAL, H)
    done_bias: np.ndarray  # (H,)
    done_out: np.ndarray  # (H,)
    offsets: np.ndarray  # (2,): of candidates' logits, of DONE's
    prior: np.ndarray  # (rules,): what being the pick of each rule adds to a logit


def shapes(width: int) -> dict[str, tuple[int, ...]]:
    """What every parameter must look like at this width."""
    h = width
    return {
        "row": (N_ROW, h), "shared": (N_GLOBAL, h), "bias": (h,), "own": (h, h), "pool_all": (2 * h, h),
        "pool_job": (h, h), "pool_class": (h, h), "bias2": (h,), "out": (h,), "done": (2 * h, h),
        "done_shared": (N_GLOBAL, h), "done_bias": (h,), "done_out": (h,), "offsets": (2,),
        "prior": (N_RULES,),
    }  # fmt: skip


class Buffers(NamedTuple):
    """Working memory of one forward pass."""

    embedded: np.ndarray  # (128, H) float32
    hidden: np.ndarray  # (H,)
    pooled: np.ndarray  # (2 H,)
    base: np.ndarray  # (H,): what all candidates have in common in the second layer
    by_job: np.ndarray  # (128, H): the same for those of one job, by its first candidate
    by_class: np.ndarray  # (128, H)
    first: np.ndarray  # (2, 128) int64: the first candidate of each one's job, and of its class
    members: np.ndarray  # (128,) int64: how many share the key of a first one
    logits: np.ndarray  # (129,) float32, -inf where masked


def buffers(width: int) -> Buffers:
    f = np.float32
    return Buffers(
        np.zeros((MAX_CANDIDATES, width), f), np.zeros(width, f), np.zeros(2 * width, f), np.zeros(width, f),
        np.zeros((MAX_CANDIDATES, width), f), np.zeros((MAX_CANDIDATES, width), f),
        np.zeros((2, MAX_CANDIDATES), np.int64), np.zeros(MAX_CANDIDATES, np.int64), np.zeros(MAX_CANDIDATES + 1, f),
    )  # fmt: skip


@kernel
def add_product(vector, matrix, out):
    """out += vector @ matrix, four rows at a time: it vectorises, and `out` is fetched and put back less often."""
    whole = len(vector) - len(vector) % 4
    for k in range(0, whole, 4):
        a, b, c, d = vector[k], vector[k + 1], vector[k + 2], vector[k + 3]
        if a != 0.0 or b != 0.0 or c != 0.0 or d != 0.0:
            for h in range(len(out)):
                total = out[h] + a * matrix[k, h]
                total += b * matrix[k + 1, h]
                total += c * matrix[k + 2, h]
                out[h] = total + d * matrix[k + 3, h]
    for k in range(whole, len(vector)):
        for h in range(len(out)):
            out[h] += vector[k] * matrix[k, h]


@kernel
def copy(source, out):
    for h in range(len(out)):
        out[h] = source[h]


@kernel
def rectify(values):
    for h in range(len(values)):
        values[h] = max(values[h], np.float32(0.0))


@kernel
def pool_all(embedded, count, pooled):
    """Mean, then maximum, of all embeddings."""
    width = embedded.shape[1]
    pooled[:] = np.float32(0.0)
    for i in range(count):
        for h in range(width):
            pooled[h] += embedded[i, h]
            pooled[width + h] = max(pooled[width + h], embedded[i, h])
    scale = np.float32(1.0 / max(count, 1))
    for h in range(width):
        pooled[h] *= scale


@kernel
def fill_pools(keys, matrix, work, count, first, target):
    """For the first candidate of each key the second layer's share of the mean embedding of all with that key."""
    for i in range(count):
        f = first_of(keys, i)
        first[i] = f
        if f == i:
            work.members[i] = 0
            target[i, :] = np.float32(0.0)
        work.members[f] += 1
        for h in range(target.shape[1]):
            target[f, h] += work.embedded[i, h]
    for i in range(count):
        if first[i] == i:
            scale = np.float32(1.0 / work.members[i])
            for h in range(target.shape[1]):
                work.hidden[h] = target[i, h] * scale
            target[i, :] = np.float32(0.0)
            add_product(work.hidden, matrix, target[i])


@kernel
def first_of(keys, i):
    for k in range(i):
        if keys[k] == keys[i]:
            return k
    return i


@kernel
def is_picked(rows, count, rule):
    """Whether some candidate is the rule's pick; otherwise it is DONE."""
    for i in range(count):
        if rows[i, FIRST_PICK + rule] > 0.5:
            return True
    return False


@kernel
def forward(weights, work, rows, job, klass, shared, mask, count):
    """Fill `work.logits` for one candidate list."""
    width = len(weights.bias)
    work.logits[:] = np.float32(-np.inf)
    copy(weights.bias, work.base)
    add_product(shared, weights.shared, work.base)
    for i in range(count):
        copy(work.base, work.embedded[i])
        add_product(rows[i], weights.row, work.embedded[i])
        rectify(work.embedded[i])
    pool_all(work.embedded, count, work.pooled)
    copy(weights.done_bias, work.hidden)
    add_product(shared, weights.done_shared, work.hidden)
    add_product(work.pooled, weights.done, work.hidden)
    rectify(work.hidden)
    if mask[DONE]:
        work.logits[DONE] = weights.offsets[1]
        for h in range(width):
            work.logits[DONE] += work.hidden[h] * weights.done_out[h]
        for rule in range(N_RULES):
            if not is_picked(rows, count, rule):
                work.logits[DONE] += weights.prior[rule]
    copy(weights.bias2, work.base)
    add_product(work.pooled, weights.pool_all, work.base)
    of_job, of_class = work.first[0], work.first[1]
    fill_pools(job, weights.pool_job, work, count, of_job, work.by_job)
    fill_pools(klass, weights.pool_class, work, count, of_class, work.by_class)
    for i in range(count):
        if not mask[i]:
            continue
        a, b = of_job[i], of_class[i]
        for h in range(width):
            work.hidden[h] = work.base[h] + work.by_job[a, h] + work.by_class[b, h]
        add_product(work.embedded[i], weights.own, work.hidden)
        rectify(work.hidden)
        total = weights.offsets[0]
        for h in range(width):
            total += work.hidden[h] * weights.out[h]
        for rule in range(N_RULES):
            total += weights.prior[rule] * rows[i, FIRST_PICK + rule]
        work.logits[i] = total


@kernel
def best_action(logits):
    """The largest logit; the first one on ties."""
    best = 0
    for i in range(len(logits)):
        if logits[i] > logits[best]:
            best = i
    return best
