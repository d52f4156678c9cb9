"""Build the documentation site in site/; every warning is an error. Run by `make docs`."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from tools.site import api, check, gallery, layers, pages

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "site"  # the settings name the package and the extension relative to this folder


def write_sources() -> None:
    """Write the pages and the settings of the site to the work folder."""
    shutil.rmtree(WORK, ignore_errors=True)
    folder = WORK / "docs"
    pages.write_pages(folder)
    shutil.copyfile(ROOT / "tools" / "site" / "site.css", folder / "site.css")
    for path in folder.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        if layers.PLACEHOLDER in text:
            path.write_text(text.replace(layers.PLACEHOLDER, f"<div>{layers.svg(layers.imports())}</div>"), encoding="utf-8")
    gallery.write_page(folder / "gallery")
    extra: dict[str, list[pages.Entry]] = {"Gallery": ["gallery/index.md"], "API": api.write_pages(folder / "api")}
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    navigation = yaml.safe_dump({"nav": pages.navigation(extra)}, allow_unicode=True, sort_keys=False)
    (WORK / "mkdocs.yml").write_text(f"{settings}\n{navigation}", encoding="utf-8")


def main() -> int:
    """Build the site, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    started = time.monotonic()
    write_sources()
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "-f", str(WORK / "mkdocs.yml")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}  # for tools.site.extension
    piped: dict = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
    done = subprocess.run(command, cwd=WORK, env=env, check=False, **piped)
    warnings = [line for line in done.stdout.splitlines() if line.startswith("griffe:")]
    if done.returncode or warnings:
        printed = done.stdout.partition("Traceback (most recent call last):")[0]  # of --strict
        print(printed or done.stdout if done.returncode else "\n".join(warnings), file=sys.stderr)
        return 1
    if found := check.problems(WORK / "site"):
        print("\n".join(found), file=sys.stderr)
        return 1
    shutil.rmtree(ROOT / "site", ignore_errors=True)
    shutil.move(WORK / "site", ROOT / "site")
    number = len(list((ROOT / "site").rglob("*.html")))
    print(f"{number} pages in site/, {time.monotonic() - started:.0f} s; python -m http.server -d site shows them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
