"""The world and the decision point."""
