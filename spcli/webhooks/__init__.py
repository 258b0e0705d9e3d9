"""Webhooks: the documented payloads, the receiver, and what it does with each event."""
