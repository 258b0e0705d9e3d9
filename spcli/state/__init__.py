"""What this machine remembers: windows and their queues, every write sent from here, received events, names for TAB.

`store.State` is the way in; `account` and the reading half of `names` are light enough for a TAB press.
"""
