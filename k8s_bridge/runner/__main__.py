"""`python -m synergai.k8s_bridge.runner` is `synergai run`, without what other verbs import."""

import signal

if __name__ == "__main__":
    # The first process of a container loses signals that nobody waits for yet; these two are kept for later.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    from synergai.k8s_bridge.runner.cli import main

    main()
