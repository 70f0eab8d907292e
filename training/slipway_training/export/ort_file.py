"""A flavor's ONNX graph as an `.ort` file: ONNX Runtime's own format, which its mobile and browser builds load without an ONNX parser.

The graph is optimized for good while it is written, so the file is for one kind of processor. It refuses to change weights: the numbers are the flavor's own.
"""

import shutil
import time
from pathlib import Path
from typing import Literal

from slipway_shared import manifest

from slipway_training.errors import ExportError, StackMissing

Platform = Literal["arm", "amd64"]


def export_ort(flavor: Path, to: Path, platform: Platform) -> Path:
    """Write the flavor of `flavor` with `model.ort` in place of `model.onnx` into the folder `to`; raises ManifestError and ExportError."""
    try:
        import onnxruntime
    except ImportError as error:
        raise StackMissing("onnxruntime") from error
    verified = manifest.load_verified(flavor)
    graph = verified.folder / "model.onnx"
    if not graph.is_file():
        raise ExportError(f"{flavor} holds no model.onnx")
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(to / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    # Layout changes are for the processor that writes the file; the extended level is what every build of the platform can run.
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if platform == "amd64" else level.ORT_ENABLE_EXTENDED
    try:
        onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises plain exceptions of many kinds
        shutil.rmtree(to)
        raise ExportError(f"ONNX Runtime cannot write {graph} as .ort: {str(error)[:200]}") from error
    for file in verified.manifest.files:
        if file.path != "model.onnx" and not file.path.startswith("model.onnx"):
            shutil.copyfile(verified.folder / file.path, to / file.path)
    files = tuple(manifest.describe_file(to, path.name) for path in sorted(to.iterdir()))
    devices: tuple[manifest.DeviceClass, ...] = ("arm", "mobile") if platform == "arm" else ("x86",)
    written = verified.manifest.model_copy(
        update={
            "flavor": f"{verified.manifest.flavor}-ort-{platform}",
            "files": files,
            "device_classes": devices,
            "created": int(time.time()),
        }
    )
    manifest.write_manifest(to, written)
    manifest.load_verified(to)
    return to
