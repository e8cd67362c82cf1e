from .arrays import ArrayFormat as ArrayFormat
from .arrays import export_arrays as export_arrays
from .c.files import export_c as export_c
from .exported import Exported as Exported
from .onnx import export_onnx as export_onnx
from .pytorch import export_program as export_program
from .pytorch import export_torchscript as export_torchscript
from .vectors import export_vectors as export_vectors
