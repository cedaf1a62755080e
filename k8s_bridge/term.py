"""A bridge's time as the one that decides: it holds the lease, and has read everything anew since it got it."""

from synergai.k8s_bridge.lease import Lease


class Term:
    """Where one bridge stands. Without a lease it leads from the first moment to the last."""

    def __init__(self, lease: Lease | None) -> None:
        self._lease = lease
        self._reading = self._begun = 0  # numbers of terms of the lease

    def leads(self) -> bool:
        """Whether a bind may be started at this moment."""
        return self._lease is None or (self._begun == self._lease.term and self._lease.valid())

    def must_read(self) -> bool:
        """Whether the lease is ours, and nothing has been read anew for it yet; asked once per term."""
        if self._lease is None or not self._lease.valid() or self._reading == self._lease.term:
            return False
        self._reading = self._lease.term
        return True

    def begin(self) -> bool:
        """What was read for it is in: the term begins, unless it had begun or the lease is gone again."""
        lease = self._lease
        if lease is None or self.leads() or not lease.valid() or self._reading != lease.term:
            return False
        self._begun = self._reading
        return True
