"""Measures how reliable the gate is: its false alarms, and the slowdowns that it catches."""
