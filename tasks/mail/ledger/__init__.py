"""Who gets a mail, and what became of it: the gate, the deliveries and what is remembered of them."""
