"""From what is said to the bytes of a message."""
