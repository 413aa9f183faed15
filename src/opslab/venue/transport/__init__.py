"""Sockets: listener, sessions, limits, signatures, streams. The home of aiohttp."""
