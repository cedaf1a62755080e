"""How long runs really take of what profiles predict, as far as the runs that were seen tell.

A profile's error is the same in every run of an option: the runs seen shrink what is not known of it. What differs from
run to run stays.
"""

from math import exp, sqrt

from synergai.envs.compile import small_kernel

RUN_SD = 0.06
"""From run to run: `noise.RUN_SD` and `noise.DRIFT_SD` together. It does not shrink with what has been observed."""
OBSERVED = 1.0
"""An option's profile weighs as much as so many observed runs."""


@small_kernel
def known_ratio(seen):
    """Log of observed over predicted run time that is to be expected of an option with this history."""
    return seen.log_ratio * seen.count / (seen.count + OBSERVED)


@small_kernel
def unknown(sigma, count):
    """Variance of the log of an option's profile error after so many observed runs."""
    return max(sigma * sigma - RUN_SD * RUN_SD, 0.0) / (1.0 + count / OBSERVED)


@small_kernel
def run_sd(sigma, count):
    """Log-sd of a run time around what is to be expected."""
    return sqrt(unknown(sigma, count) + min(sigma, RUN_SD) ** 2)


@small_kernel
def expected_us(seen, e_us):
    """A predicted run time, corrected by what was seen of its option."""
    return e_us * exp(known_ratio(seen))
