"""Measures the gate from outside: false alarms, and slowdowns that it catches."""
