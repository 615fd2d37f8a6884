"""Whether a program, or a sampler, is right."""
