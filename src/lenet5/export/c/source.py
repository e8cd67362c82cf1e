"""The C source of a network: constants, layers, the functions that users call, and a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from .buffers import Buffer, workspace, workspace_size
from .inputs import Input
from .program import program
from .text import Constants, Strings, comment

_HEADER = Template("""\
$about
#ifndef ${MACRO}_H
#define ${MACRO}_H

#include <stdint.h>

#define ${MACRO}_NUM_CLASSES $num_classes

#ifdef __cplusplus
extern "C" {
#endif

$declarations

#ifdef __cplusplus
}
#endif

#endif
""")
_RUN = Template("""\
/*
 * Where the buffers are. By default they are static: they count as RAM when the program is linked, and only one call
 * may run at a time. With -D${MACRO}_STORAGE=auto they are on the stack, and calls may run at the same time.
 */
#ifndef ${MACRO}_STORAGE
#define ${MACRO}_STORAGE static
#endif

/* Compute the logits of an image, and store them unless the pointer is NULL. Return the index of the largest. */
static int run($parameters, $scalar *logits)
{
    ${MACRO}_STORAGE struct workspace w;
    int largest = 0;
$steps
    for (int n = 0; n < $num_classes; n++) {
        if (logits != NULL) {
            logits[n] = w.$output[n];
        }
        if (w.$output[n] > w.$output[largest]) {
            largest = n;
        }
    }
    return largest;
}
""")


@dataclass(frozen=True)
class Parts:
    """A network in C, in numbers of one type."""

    title: str
    """What is computed, and in which numbers."""

    constants: Sequence[Constants]
    functions: Sequence[str]
    """The functions of the layers, and those that they call."""

    steps: Sequence[str]
    """The names of the functions to call in order."""

    buffers: Sequence[Buffer]
    inputs: Sequence[Input]
    """What the network takes: `pixels`, a normalised `image`, or both."""

    about_logits: str
    """What the logits are."""

    classes: Sequence[str]
    libm: Sequence[str] = ()
    """The functions of C's mathematical library that are called."""


@dataclass(frozen=True)
class CSource:
    """A network in C."""

    source: str
    """Content of the .c file."""

    header: str
    """Content of the .h file."""

    flash: int
    """Size of the constants in bytes, without the machine code."""

    ram: int
    """Size of the buffers in bytes, without the stack."""

    functions: tuple[str, ...]
    """The declarations of the functions that users call."""


def c_source(parts: Parts, *, prefix: str, header_name: str) -> CSource:
    """Write a network in C.

    Parameters
    ----------
    parts
        The network.
    prefix
        Prefix of the public names.
    header_name
        Name of the header file, which the source includes.
    """
    names = {"prefix": prefix, "MACRO": prefix.upper()}
    classes = Strings(f"{prefix}_classes", parts.classes)
    flash = sum(array.size for array in parts.constants) + classes.size
    ram = workspace_size(parts.buffers)
    about = comment(_about(parts, names["MACRO"], flash, ram))
    functions = _public(parts, prefix)
    declarations = [f"/* The class names. */\nextern {classes.declaration};"]
    declarations += [f"{comment(doc)}\n{signature};" for signature, doc, _ in functions]
    header = _HEADER.substitute(
        names, about=about, num_classes=len(parts.classes), declarations="\n\n".join(declarations)
    )
    includes = [f'#include "{header_name}"', "", *(["#include <math.h>"] if parts.libm else []), "#include <stddef.h>"]
    sections = [
        about,
        "\n".join(includes) + "\n",
        *(f"{array}\n" for array in (*parts.constants, classes)),
        workspace(parts.buffers),
        *(each.function for each in parts.inputs),
        *parts.functions,
        _run(parts, names),
        *(f"{signature}\n{{\n    {body}\n}}\n" for signature, _, body in functions),
    ]
    if parts.inputs[0].name == "pixels":
        sections.append(program(prefix, parts.inputs[0].channels, parts.inputs[0].side))
    return CSource("\n".join(sections), header, flash, ram, tuple(signature for signature, _, _ in functions))


def _about(parts: Parts, macro: str, flash: int, ram: int) -> str:
    calls = f" Calls {', '.join(parts.libm)} of the mathematical library." if parts.libm else ""
    names = ", ".join(parts.classes)
    lines = [
        parts.title,
        "",
        f"Memory: {flash:,} bytes of constants, and {ram:,} bytes of buffers; machine code and stack come on top.",
        f"C99, without allocation.{calls}",
        f"Classes: {names}",
    ]
    if parts.inputs[0].name == "pixels":
        lines += ["", f"With -D{macro}_MAIN, it is a program that classifies image files."]
    return "\n".join([*lines, "", "Written by `lenet5 export --format c`."])


def _public(parts: Parts, prefix: str) -> list[tuple[str, str, str]]:
    """Return the signatures, descriptions and bodies of the functions that users call."""
    first, last = parts.inputs[0], parts.inputs[-1]
    arguments = ["NULL"] * len(parts.inputs)
    functions = []
    if first.name == "pixels":
        call = ", ".join(["pixels", *arguments[1:], "NULL"])
        doc = f"Return the index of the class of an image. {first.about}"
        functions.append((f"int {prefix}_classify({first.parameter})", doc, f"return run({call});"))
    call = ", ".join([*arguments[1:], last.name, "logits"])
    scalar = parts.buffers[-1].ctype
    doc = f"Compute the logits of an image: {parts.about_logits}. {last.about}"
    signature = f"void {prefix}_logits({last.parameter}, {scalar} logits[{len(parts.classes)}])"
    return [*functions, (signature, doc, f"(void)run({call});")]


def _run(parts: Parts, names: dict[str, str]) -> str:
    output = parts.buffers[-1]
    setters = [f"set_{each.name}(&w, {each.name});" for each in parts.inputs]
    steps = [f"    {setters[-1]}"]
    if len(setters) > 1:
        steps = ["    if (pixels != NULL) {", f"        {setters[0]}", "    } else {", f"        {setters[1]}", "    }"]
    return _RUN.substitute(
        names,
        parameters=", ".join(f"const {each.ctype} *{each.name}" for each in parts.inputs),
        scalar=output.ctype,
        steps="\n".join([*steps, *(f"    {name}(&w);" for name in parts.steps)]),
        num_classes=len(parts.classes),
        output=output.member,
    )
