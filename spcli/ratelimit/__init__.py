"""Pure: the service's rate limits, as windows with queues, and the classification of refusals."""
