"""The runtime of training: devices, random generators, signals, process groups, and CUDA graphs."""
