"""The CustomResourceDefinitions that come with the bridge."""

from importlib import resources

import yaml

from synergai.k8s_bridge.embedded.objects import Json


def definitions() -> list[Json]:
    """Those in `k8s_bridge/manifests/crds`; none where there is no such folder."""
    folder = resources.files("synergai.k8s_bridge") / "manifests" / "crds"
    if not folder.is_dir():
        return []
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name
    )
    documents = (found for file in files for found in yaml.safe_load_all(file.read_text("utf-8")))
    return [found for found in documents if found]
