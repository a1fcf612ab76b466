"""From an envelope to a server's answer: the protocol, the pool of connections, and the pace."""
