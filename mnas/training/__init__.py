"""How good a network is, by training it."""
