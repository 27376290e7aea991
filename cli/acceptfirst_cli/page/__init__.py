"""The live page over HTTP: routes, events and sessions, mounted into a collector by the composition."""
