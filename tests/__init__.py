"""A package, so that the `tests` that some packages install does not come before it."""
