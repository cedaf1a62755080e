"""SynergAI: a learned scheduler for AI inference on unlike machines, from measured profiles to bound pods."""

__version__ = "0.1.0"
