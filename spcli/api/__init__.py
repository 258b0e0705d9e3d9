"""The service: one method per endpoint, answers as models, retries of reads."""
