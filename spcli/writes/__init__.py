"""Upload and release: the send loop, its turn in the queue, and the evidence of what a write did."""
