"""The console: what admins and operators see. docs/console.md says how it is built, and how to add a section."""
