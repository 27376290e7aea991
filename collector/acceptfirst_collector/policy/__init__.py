"""The policies that the backends ask for: how they change, where they are kept, how they are asked for."""
