from .exported import Exported as Exported
from .onnx import export_onnx as export_onnx
