"""C source: one dependency-free file and its header."""
