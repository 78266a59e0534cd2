"""Decides what the measured pairs prove."""
