"""The pages: what is served over HTTP."""
