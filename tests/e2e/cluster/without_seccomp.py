"""Runs runc without a container's system-call filter: `python without_seccomp.py RUNC ARGUMENT...`.

runc is built without libseccomp, which is C and in no Go module, and refuses settings with a filter; the kubelet asks
for one for every pod.
"""

import json
import os
import sys
from pathlib import Path


def main(runc: str, arguments: list[str]) -> None:
    if "create" in arguments:
        settings = Path(arguments[arguments.index("--bundle") + 1], "config.json")
        config = json.loads(settings.read_bytes())
        config["linux"].pop("seccomp", None)
        settings.write_text(json.dumps(config))
    os.execv(runc, [runc, *arguments])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
