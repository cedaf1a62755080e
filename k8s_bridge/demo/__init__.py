"""`synergai demo`: the whole way, from measured profiles to bound pods, on an embedded cluster."""
