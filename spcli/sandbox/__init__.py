"""A local Streampixel: `world` decides (pure, time is an argument), `server` speaks HTTP over it."""
