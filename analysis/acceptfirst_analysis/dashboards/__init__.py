"""Grafana's boards and alert rules, made from the named statements that everybody else asks too."""
