"""The doctor for Keras models."""

from normwise.keras.doctor.diagnose import diagnose
from normwise.keras.doctor.diagnosis import Diagnosis
from normwise.keras.doctor.find_rules import all_rules

__all__ = ["Diagnosis", "all_rules", "diagnose"]
