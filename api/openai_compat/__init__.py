"""The façade: OpenAI's paths, bodies and errors under `/v1`, over the same services as the native API."""
