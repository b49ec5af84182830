"""The bus: one port, interchangeable transports, each of which keeps the same promises under one contract suite."""
