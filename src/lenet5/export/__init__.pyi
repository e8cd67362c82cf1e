from .arrays import ArrayFormat as ArrayFormat
from .arrays import export_arrays as export_arrays
from .c.files import export_c as export_c
from .exported import Exported as Exported
from .onnx import export_onnx as export_onnx
from .vectors import export_vectors as export_vectors
