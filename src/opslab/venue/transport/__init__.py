"""Network side of the venue: listener, sessions, rate limits, signatures, streams. The only user of aiohttp."""
