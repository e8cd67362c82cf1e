"""LeNet-5 by this package and by its peers, measured side by side in one run.

`peers` and `frameworks` are what is measured, `bench` is the process that each of them is measured in, `measure` is the
run, and `report` is what is shown of it. Nothing is imported here, so that a process imports what it measures alone.
"""
