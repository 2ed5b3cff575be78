"""The session with the doctor that docs/doctor/command-line.md shows, and the screenshot of its page.

Run: python -m tests.documentation.doctor_session docs/doctor/command-line.md docs/pictures/doctor.png
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "doctor" / "train.py"
COMMAND = (
    "normwise doctor train.py:model --data train.py:loader --loss train.py:loss \\\n"
    "    --optimizer train.py:optimizer --fix healed.safetensors"
)
_PAGE = "page.html"
_SHOWN = re.compile(r"(?<=^```console\n)\$ normwise doctor .*?(?=^```$)", re.M | re.S)
#: What the screenshot shows of the page, in pixels of CSS.
_WIDTH, _HEIGHT = 1080, 1560


def main(document: Path, screenshot: Path) -> None:
    """Write the session into a document, and the screenshot."""
    with tempfile.TemporaryDirectory() as folder:
        said = session(Path(folder))
        take_screenshot(Path(folder) / _PAGE, screenshot)
    text = document.read_text(encoding="utf-8")
    document.write_text(_SHOWN.sub(lambda _: said, text), encoding="utf-8")


def session(folder: Path) -> str:
    """Run the command in a folder with the script, leave the page there, and return the command and what it prints."""
    shutil.copy(SCRIPT, folder)
    program, *arguments = COMMAND.replace("\\\n", "").split()
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments, "--html", _PAGE],
        cwd=folder,
        env={**os.environ, "COLUMNS": "100", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{COMMAND} ends with {done.returncode}: {done.stdout}{done.stderr}")
    return f"$ {COMMAND}\n{done.stdout.strip()}\n"


def shown_session(document: Path) -> str:
    """Return the session that a document shows."""
    found = _SHOWN.search(document.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(
            f"{document} shows no session; expected a console block that begins with $ normwise doctor"
        )
    return found[0]


def chromium() -> str | None:
    """Return the path of a Chromium or Chrome; None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


def take_screenshot(page: Path, out: Path) -> None:
    """Write a picture of the upper part of a page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = driver.chromium.launch(executable_path=chromium(), args=arguments)
        tab = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT}, color_scheme="light")
        tab.goto(page.as_uri())
        tab.wait_for_function("() => document.querySelector('.plot svg.main-svg[aria-hidden=true]')")
        tab.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
