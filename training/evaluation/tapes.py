"""Which tapes are for what: training, selection and test never share one."""

SELECTION = range(100_000, 200_000)
"""For every choice: which seed ships, hyper-parameters, when to stop."""
TEST = range(0, 100_000)
"""For figures that are reported. Training uses a million and up (`training.vec_env`)."""
