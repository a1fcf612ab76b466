"""The API over a real socket, with real tokens."""
