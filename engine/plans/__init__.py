"""The plan document and the `Plan` that the rules work on: reading, checking, canonical form, case files."""
