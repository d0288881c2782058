"""Programs written for one of several devices: `shard_map` and what is built on it."""
