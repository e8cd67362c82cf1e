"""LeNet-5 in this package and in other libraries, measured side by side in one run.

`peer` is the interface, `pytorch` and `frameworks` implement it. `worker` measures one peer in a process of its own,
`measure` schedules the workers, and `report` presents the results. This file imports nothing, so that a worker process
loads only the library that it measures.
"""
