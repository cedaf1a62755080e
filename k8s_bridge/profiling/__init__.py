"""`synergai profile cluster`: every hardware class of a cluster measured once, each by a Job on one of its nodes."""
