"""Reports own no table."""

#: The SQL functions of this capability, and what each is for.
FUNCTIONS = {"spreadsheet_safe": "a cell no spreadsheet takes for a formula"}
