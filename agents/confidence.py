"""Whether the mean of numbers that come one by one lies above a value, looked at after each of them.

The capital of a gambler who bets on it (Waudby-Smith and Ramdas, Estimating means of bounded random variables by
betting, JRSS B 86, 2024, https://arxiv.org/abs/2010.09686; there `aGRAPA`), for x in [-1, 1] and a value m:

    K_t(m) = product over i <= t of 1 + l_i (x_i - m)
    l_i    = (g - m) / (v + (g - m)^2), at least 0, at most C / (1 + m)

with mean g and variance v of what came before i. If every x has a mean of at most m, given those before it, then K is a
supermartingale from 1 on, and the chance that it ever reaches 1 / alpha is at most alpha (Ville's inequality). The
values m with K(m) < 1 / alpha are a confidence sequence; its lower bound lies above m once K(m) >= 1 / alpha.
"""

ALPHA = 0.05
C = 0.75
"""Share of the capital that one number can take at most; the paper takes 1/2 or 3/4."""
MEMORY = 12.0
"""Numbers over which g and v forget. Any bet that knows the past alone is fair, and what is betted on may change."""
FIRST_SQUARE = 0.1
"""Mean square expected before anything is known; it and a mean of 0 count like one number."""


class Bets:
    """The one-sided confidence sequence of one mean: is it above `above`?"""

    def __init__(self, above: float, alpha: float = ALPHA) -> None:
        """ValueError for a value that no mean can lie above, or for an alpha that is no probability."""
        if not -1.0 < above < 1.0:
            raise ValueError(f"above is {above}, not between -1 and 1")
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha is {alpha}, not between 0 and 1")
        self.above = above
        self.goal = 1.0 / alpha
        self.capital = 1.0
        self.taken = 0
        """Numbers since the start or the last `restart`."""
        self._weight, self._mean, self._square = 1.0, 0.0, FIRST_SQUARE

    @property
    def proven(self) -> bool:
        """Whether the lower bound lies above the value now."""
        return self.capital >= self.goal

    def take(self, x: float) -> None:
        """One more number; ValueError beyond [-1, 1]."""
        if not -1.0 <= x <= 1.0:
            raise ValueError(f"{x} is not in [-1, 1]")
        self.capital *= 1.0 + self._bet() * (x - self.above)
        self.taken += 1
        self._weight = self._weight * (1.0 - 1.0 / MEMORY) + 1.0
        self._mean += (x - self._mean) / self._weight
        self._square += (x * x - self._square) / self._weight

    def restart(self) -> None:
        """A new sequence; what was learnt to bet on stays."""
        self.capital, self.taken = 1.0, 0

    def _bet(self) -> float:
        """On the next number."""
        gain = self._mean - self.above
        spread = max(self._square - self._mean * self._mean, 0.0) + gain * gain
        return min(gain / spread, C / (1.0 + self.above)) if gain > 0.0 else 0.0


class Switch:
    """Policy or fallback, by the windows in which both were played: `difference` is violations per job under the policy
    less those under the fallback.

    The policy goes when the lower bound of the mean difference is above 0, and comes back when the upper bound of
    what came since is below `tolerance`. Each sequence ends there, or after `SPAN` windows: so the chance that a policy
    that is no worse goes is at most alpha in so many windows.
    """

    SCALE = 0.1
    """A window counts at most so much in either direction. Without it one window could do ten times as much, the bets
    would have to be a tenth as high, and an answer would take ten times as many windows."""
    TOLERANCE = 0.01
    SPAN = 144
    """Windows; a day of one every ten minutes."""

    def __init__(self, alpha: float = ALPHA, tolerance: float = TOLERANCE) -> None:
        self.policy_plays = True
        self._alpha = alpha
        self._tolerance = tolerance
        self._bets = self._begin()

    @property
    def evidence(self) -> float:
        """How near the next switch is: `ALPHA` where nothing is known, less where all speaks against it, 1 there."""
        return self._bets.capital / self._bets.goal

    def take(self, difference: float) -> bool:
        """One more window; whether that switches."""
        x = min(max(difference / self.SCALE, -1.0), 1.0)
        self._bets.take(x if self.policy_plays else -x)
        if self._bets.proven:
            self.policy_plays = not self.policy_plays
            self._bets = self._begin()
            return True
        if self._bets.taken >= self.SPAN:
            self._bets.restart()
        return False

    def _begin(self) -> Bets:
        """Against the policy, or for it."""
        return Bets(0.0 if self.policy_plays else -self._tolerance / self.SCALE, self._alpha)
