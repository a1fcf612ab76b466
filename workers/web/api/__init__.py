"""The HTTP API: every act as a route below `/api/v1`."""
