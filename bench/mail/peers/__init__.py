"""What others build mailings with, each set up as its own documentation advises; run as programs of their own."""
