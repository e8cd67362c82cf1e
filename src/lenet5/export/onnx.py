"""ONNX: the layers of a network as the nodes of one self-contained file."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch import nn

from .. import __version__
from ..arguments import as_integer, check_boolean
from ..quantization.network import IntegerNetwork
from ..storage import StrPath
from .exported import Exported, write_export
from .program import INPUT, Interface, Program, Source, as_program, check_equal

if TYPE_CHECKING:
    from .onnx_graph import Graph

OPSET = 13
"""The default opset, of 2020, which every tool reads; nothing here needs a later one."""

_INTEGER_TOLERANCE = (
    0.05  # of the largest result: where a value lies in the middle of two integers, ONNX may take the other
)
_ADVICE = "torch.onnx.export(model, ...) may know more, if it is called on the network itself"


def export_onnx(
    source: Source | IntegerNetwork, path: StrPath, *, preprocess: bool = False, opset: int = OPSET
) -> Exported:
    """Write a network to an ONNX file.

    The file holds everything: the batch size is free, nodes and tensors have the names of the layers, and the metadata
    says which weights and classes they are. Numbers are float32. The network stays as it is, and is exported in
    evaluation mode. Before the file is written, the network and its nodes are compared on two images.

    Parameters
    ----------
    source
        The network: the result of `lenet5.load`, or any network of this package. Or an integer network, the result of
        `lenet5.quantization.quantize`, whose file takes pixels in any case. It has the form that ONNX calls QDQ: 8-bit
        weights with a scale for each output channel, and QuantizeLinear and DequantizeLinear after each layer.
    path
        The file. An existing one is replaced.
    preprocess
        Let the file take pixels and return probabilities: uint8 (N, C, H, W) from 0 to 255, as in MNIST, instead of
        normalised images and logits. The source is a `Pretrained`, which knows its preprocessing.
    opset
        Version of ONNX's operators, at least 13.

    Returns
    -------
    Exported
        The file, its input and its output.

    Raises
    ------
    ImportError
        onnx is not installed.
    TypeError
        The source is no network of this package.
    ValueError
        The network is pruned or parametrized, or has a layer that is not known here. Or the opset is out of range.

    Examples
    --------
    >>> exported = lenet5.export.export_onnx(lenet5.load("mnist_v2"), "lenet5.onnx", preprocess=True)
    >>> exported.files[0].name
    'lenet5.onnx'
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError('export to ONNX needs the package onnx: pip install ".[onnx]"') from error
    newest = onnx.defs.onnx_opset_version()
    number = as_integer(opset)
    if number is None or not OPSET <= number <= newest:
        raise ValueError(f"opset is {opset!r}; expected an integer from {OPSET} to {newest}, as onnx has them")
    preprocess = check_boolean("preprocess", preprocess)
    if isinstance(source, IntegerNetwork):
        from .onnx_integers import integer_graph, integer_interface

        interface: Interface = integer_interface(source, preprocess=preprocess)
        model = _model(integer_graph(source, preprocess=preprocess), interface, number)
        _check(model, interface, _INTEGER_TOLERANCE)
    else:
        interface = program = as_program(source, preprocess=preprocess)
        model = _model(_build(program), program, number)
        _check(model, program)
    file = write_export(path, model.SerializeToString(deterministic=True))
    return Exported((file,), interface.description)


def _model(graph: "Graph", program: Interface, opset: int) -> Any:
    import onnx
    from onnx import TensorProto, helper

    kind = helper.np_dtype_to_tensor_dtype(program.images.numpy().dtype)
    images = helper.make_tensor_value_info(INPUT, kind, ["batch", *program.images.shape[1:]])
    results = helper.make_tensor_value_info(program.output, TensorProto.FLOAT, ["batch", program.results.shape[1]])
    name = program.metadata["architecture"]
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(
        helper.make_graph(graph.nodes, name, [images], [results], graph.tensors),
        opset_imports=opsets,
        ir_version=helper.find_min_ir_version_for(opsets),  # the newest one is unknown to older runtimes
        producer_name="lenet5",
        producer_version=__version__,
        doc_string="\n".join((f"{name}, exported by lenet5 {__version__}", *program.description)),
    )
    helper.set_model_props(model, dict(sorted(program.metadata.items())))
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def _build(program: Program) -> "Graph":
    """Return the graph of a module, with the names of its layers."""
    from .onnx_activations import ACTIVATIONS
    from .onnx_functions import FUNCTIONS
    from .onnx_graph import Graph
    from .onnx_layers import LAYERS

    layers = {**LAYERS, **ACTIVATIONS}
    graph, values = Graph(), dict[torch.fx.Node, Any]()
    traced = _Tracer(layers).trace(program.module)
    for node in traced.nodes:
        arguments = torch.fx.node.map_arg(node.args, values.__getitem__)
        options = torch.fx.node.map_arg(node.kwargs, values.__getitem__)
        name = _name(node)
        if node.op == "placeholder":
            values[node] = INPUT
        elif node.op == "get_attr":
            values[node] = graph.tensor(name, _attribute(program.module, node.target))
        elif node.op == "call_module":
            layer = program.module.get_submodule(node.target)
            values[node] = _known(layers, type(layer).forward, name, layer)(graph, name, layer, *arguments, **options)
        elif node.op == "output":
            graph.rename(arguments[0], program.output)
        else:
            function = getattr(node.target, "__name__", node.target).strip("_")
            values[node] = _known(FUNCTIONS, function, name, node.target)(graph, name, *arguments, **options)
    return graph


class _Tracer(torch.fx.Tracer):
    """Follows a network down to the layers that are known."""

    def __init__(self, layers: dict[Callable[..., Any], Any]) -> None:
        super().__init__()
        self.layers = layers

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m).forward in self.layers or super().is_leaf_module(m, module_qualified_name)


def _name(node: torch.fx.Node) -> str:
    """Return the path of a layer, or the name of a function in the path of its module."""
    if node.op in {"call_module", "get_attr"}:
        return str(node.target).removeprefix("network.")
    stack = node.meta.get("nn_module_stack") or {}
    path = next(reversed(stack), "")
    return ".".join(filter(None, (path.removeprefix("network").removeprefix("."), node.name)))


def _attribute(module: nn.Module, path: str) -> Any:
    parent, _, name = path.rpartition(".")
    return getattr(module.get_submodule(parent), name)


def _known(table: dict[Any, Any], key: Any, name: str, what: object) -> Any:
    if key not in table:
        raise ValueError(f"{name} is {what}, which has no ONNX nodes here; {_ADVICE}")
    return table[key]


def _check(model: Any, program: Interface, *tolerance: float) -> None:
    """Raise ValueError unless the file is valid, and computes what the network computes."""
    import onnx

    from .onnx_reference import evaluate

    onnx.checker.check_model(model, full_check=True)
    check_equal(evaluate(model, program.images), program, *tolerance)
