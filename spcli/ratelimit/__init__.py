"""Pure: the service's rate limits, as windows with queues, and what a refusal means."""
