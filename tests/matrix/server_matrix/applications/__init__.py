"""One module a framework; each is loaded by a real server process as ``server_matrix.applications.<name>:app``."""
