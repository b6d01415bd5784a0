"""How fast a network is on a device, from a measured table."""
