"""What all tests share: pytest's own way of running pytest, for the plugin's tests."""

from __future__ import annotations

pytest_plugins = ["pytester"]
