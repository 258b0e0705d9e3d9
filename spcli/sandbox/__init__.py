"""Run a local Streampixel: `world` decides (pure, time is an argument), `server` answers over HTTP.

The sandbox knows nothing of the client, and the client nothing of the sandbox.
"""
