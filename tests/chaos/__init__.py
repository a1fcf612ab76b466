"""What is left when workers are killed again and again; apart from the suite, for it takes minutes: `make chaos`."""
