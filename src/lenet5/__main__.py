"""`python -m lenet5` is the command `lenet5`."""

from .cli import main

main(prog_name="lenet5")
