"""Everything that the bridge says: log, Events, metrics, decision log, annotations, queue."""
