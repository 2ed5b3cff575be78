"""Build the site in both languages, and fail at the first thing that Sphinx warns of.

Run: python -m website.build build/site
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from website.sources import write_sources

_HERE = Path(__file__).parent


def main(site: Path) -> None:
    """Write the English site to a folder, and the Chinese one to ``zh`` in it."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder)
        pages = write_sources(sources)
        codes = list[int]()
        for language, other, to in (("en", "zh", site), ("zh", "en", site / "zh")):
            done = subprocess.run(
                [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going", "-E",
                 "-c", str(_HERE), "-d", str(sources / f"{language}.doctrees"),
                 "-D", f"normwise_pages_of_other_language={','.join(pages[other])}",
                 str(sources / language), str(to)],
                env={**os.environ, "NORMWISE_DOCS_LANGUAGE": "zh_CN" if language == "zh" else "en"},
                check=False,
            )  # fmt: skip
            codes.append(done.returncode)
    if any(codes):
        sys.exit(1)
    print(f"written: {site}/index.html and {site}/zh/index.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
