"""Which architectures are allowed, and how choices become one."""
