"""The paths under `/v1`: they parse, call a service, and answer in OpenAI's words."""
