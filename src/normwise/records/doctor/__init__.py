"""What the doctor finds and does: examinations, findings, treatments, and their texts."""
