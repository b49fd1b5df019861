"""Flights out of New York in 2013, each joined with the weather at its departure."""
