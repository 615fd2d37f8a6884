"""Programs interpreted by stanli, without a compiler, in a process of their own."""
