"""LeNet-5 as published in 1998: the network, its layers and losses, and its optimizer."""
