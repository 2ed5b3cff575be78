"""Records of the doctor: examinations, findings, treatments, and their texts."""
