"""The shared words of the kit (config, persona, conversation, artifacts), and the thing that talks."""

import sys

__version__ = "0.1.0"

# OpenVINO tells Google Analytics of each import, unasked, and keeps an id of the person;
# where this module cannot be imported, it tells nobody.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
