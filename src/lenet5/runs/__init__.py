"""Runs of `lenet5 train`: their settings, and their folders."""
