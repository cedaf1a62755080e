"""How far the bridge may go with its decisions, and what it follows while it runs."""
