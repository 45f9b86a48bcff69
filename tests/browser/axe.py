"""axe-core, the accessibility checker, fetched once from the npm registry into a cache folder; never shipped."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Page

VERSION = "4.14.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "growth-data-plane" / "axe"
GRAVE = ("serious", "critical")

# What the framework itself draws and pages cannot change, by rule and selector.
# The accent colour is white's ground on a button and text on a tint of itself on a chosen segment: in dark no colour
# is 4.5:1 for both. Labels of disabled widgets are exempt, but only inputs tell axe that they are.
FRAMEWORK = {
    "svg-img-alt": '[data-testid="stMetric"]',  # sparklines
    "target-size": '[data-baseweb="select"]',  # "Clear all" of a multiselect
    "color-contrast": '[data-testid="stButtonGroup"], label[disabled]',
}

_RUN = """
async (framework) => {
  const found = await axe.run(document, { resultTypes: ['violations'] })
  const said = []
  for (const rule of found.violations) {
    for (const node of rule.nodes) {
      const element = node.target.length === 1 ? document.querySelector(node.target[0]) : null
      const theirs = framework[rule.id] && element && element.closest(framework[rule.id])
      if (!theirs) said.push({ rule: rule.id, impact: node.impact || rule.impact, html: node.html.slice(0, 300), why: node.failureSummary })
    }
  }
  return said
}
"""


@cache
def script() -> str:
    """axe-core's code; skips with the reason where it cannot be had."""
    kept = CACHE / VERSION / "axe.min.js"
    if not kept.exists():
        npm = shutil.which("npm")
        if not npm:
            pytest.skip("axe-core comes from the npm registry, and npm is not installed")
        kept.parent.mkdir(parents=True, exist_ok=True)
        command = [npm, "pack", f"axe-core@{VERSION}", "--silent"]
        try:
            packed = subprocess.run(command, cwd=kept.parent, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            pytest.skip("npm could not fetch axe-core: the registry does not answer")
        if packed.returncode:
            reason = (packed.stderr.strip().splitlines() or ["no reason given"])[-1]
            pytest.skip(f"npm could not fetch axe-core: {reason}")
        archive = kept.parent / packed.stdout.strip()
        shutil.unpack_archive(archive, kept.parent / "unpacked")
        shutil.copy(kept.parent / "unpacked" / "package" / "axe.min.js", kept)
    return kept.read_text(encoding="utf-8")


def grave_problems(page: Page) -> list[str]:
    """What axe finds serious or critical, but for the framework's own nodes."""
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(f"() => {{ {script()} }}")
    found = page.evaluate(_RUN, FRAMEWORK)
    return [f"{item['rule']}: {item['html']} {item['why']}" for item in found if item["impact"] in GRAVE]
