"""Run the command `lenet5` as `python -m lenet5`."""

from .cli import main

main(prog_name="lenet5")
