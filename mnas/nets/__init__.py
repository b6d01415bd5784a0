"""The torch module a plan describes."""
