"""From a configuration's name to how the engine is run."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synergai.offline_profiles.engines.engine import Setting

FORM = "ENGINE-PRECISION-UNIT[-tTHREADS]-bBATCH, as onnxruntime-fp32-cpu-t2-b8"
_NAME = re.compile(
    r"(?P<engine>[a-z0-9][a-z0-9._+-]*)-(?P<precision>[a-z0-9]+)-(?P<unit>cpu|gpu)"
    r"(?:-t(?P<threads>[1-9][0-9]{0,3}))?-b(?P<batch>[1-9][0-9]{0,6})",
    re.ASCII,
)


def setting_of(name: str) -> "Setting | None":
    """None where the name is not of a configuration that an engine adapter may run."""
    from synergai.offline_profiles.engines.engine import Setting

    found = _NAME.fullmatch(name)
    if found is None:
        return None
    setting = Setting(
        engine=found["engine"],
        precision=found["precision"],
        unit=found["unit"],
        threads=int(found["threads"] or 0),
        batch=int(found["batch"]),
    )
    return setting if setting.configuration == name else None


def parameters_of(setting: "Setting") -> dict[str, str]:
    """As an InferenceRuntime's configuration has them, and a runner its SYNERGAI_PARAMETER_*."""
    return {
        "engine": setting.engine,
        "precision": setting.precision,
        "unit": setting.unit,
        "threads": str(setting.threads),
        "batch": str(setting.batch),
    }
