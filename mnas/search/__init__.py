"""Ask a sampler, score candidates on workers, record each, resume."""
