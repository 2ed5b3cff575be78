"""The page of a record, whichever it is."""

from normwise.records import Examination, Recording, Treatment
from normwise.report.formats.html import examination_page, operation_page, recording_page, treatment_page
from normwise.report.views.operation_view import Operation


def record_page(record: Examination | Treatment | Recording | Operation) -> str:
    """Return the page of a record: of a diagnosis, a treatment, a recording, or an operation on a model."""
    if isinstance(record, Examination):
        return examination_page(record)
    if isinstance(record, Treatment):
        return treatment_page(record)
    if isinstance(record, Recording):
        return recording_page(record)
    return operation_page(record)
