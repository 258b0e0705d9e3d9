"""Webhooks: the documented payloads, who may deliver them, the receiver, and what it does with an event."""
