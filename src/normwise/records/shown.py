"""Records that a notebook shows, and that have a page of their own."""

from html import escape
from pkgutil import resolve_name


class Shown:
    """Base of records that have a page: ``to_html()`` returns it, and a notebook shows the text."""

    def to_html(self) -> str:
        """Return the record as one HTML file, which opens without a network.

        Raises:
            MissingPackageError: the packages of ``normwise[html]`` are not installed.
        """
        # By name, as the names of the package normwise: records know no reports, and a report is imported when one is
        # wanted.
        return resolve_name("normwise.report:record_page")(self)

    def _repr_html_(self) -> str:
        """Return the text for a notebook; a whole page would bring megabytes of scripts into it."""
        return f'<pre style="white-space: pre-wrap; line-height: 1.35">{escape(str(self))}</pre>'
