"""What a training runs on: the device, random generators, signals, other processes, and checkpoints."""
