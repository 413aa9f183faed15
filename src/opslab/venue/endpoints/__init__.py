"""REST and WebSocket API endpoints."""
