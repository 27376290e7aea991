"""A FastAPI chat whose handshake bugs can be switched on by name: the backend of the demo."""
