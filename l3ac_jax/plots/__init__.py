"""Figures that training and evaluation share."""
