"""The memory of this machine: rate limits and their queues, every write sent from here, received events, names for TAB.

`store.State` is the entry point; `account` and `reader` are light enough for a TAB press.
"""
