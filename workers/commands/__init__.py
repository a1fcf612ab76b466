"""The commands, a module for each of their groups; `workers.cli` puts them together."""
