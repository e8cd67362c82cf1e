"""What training runs on: the device, random generators, signals, other processes, and CUDA graphs."""
