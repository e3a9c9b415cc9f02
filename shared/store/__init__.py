"""All SQL of the project, as plain functions of a connection. Nothing else here knows what a transaction is."""
