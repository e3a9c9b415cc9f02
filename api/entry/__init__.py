"""Who may come in, and how much may be under way."""
