"""Calibration of the doctor's thresholds on healthy trained models, and on the same models made sick on purpose."""
