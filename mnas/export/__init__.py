"""Deployable files of a chosen network, each proven equal."""
