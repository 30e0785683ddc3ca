"""What an environment consists of: a CycloneDX 1.6 bill of materials, and a table of licences. No package needed.

    python .ci/bill_of_materials.py --name chimed-airflow --lock requirements-production.txt --to bills

It lists the distributions that the interpreter which runs it has installed, so it is run inside an image. The lock file
adds the hashes of what was installed, and what is installed and not locked is told on stderr.
"""

import argparse
import json
import re
import sys
import uuid
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path

UNKNOWN = "not stated"
CLASSIFIER = "License :: "
LONGEST = 80  # characters of a licence's name; some packages put the whole text there


def name_of(distribution: Distribution) -> str:
    """Return a distribution's name as package indexes normalize it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()


def licence_of(distribution: Distribution) -> str:
    """Return a distribution's licence: its SPDX expression, or else its classifiers, or else its licence field."""
    said = distribution.metadata
    if expression := said.get("License-Expression"):
        return str(expression)
    classifiers = [one for one in said.get_all("Classifier") or [] if one.startswith(CLASSIFIER)]
    named = sorted({one.rsplit(" :: ", 1)[-1] for one in classifiers} - {"OSI Approved"})
    if named:
        return "; ".join(named)
    first = (said.get("License") or "").strip().splitlines()[:1]
    return first[0][:LONGEST] if first else UNKNOWN


def hashes_in(lock: Path) -> dict[str, tuple[str, list[str]]]:
    """Of each package in a lock file its version and the SHA-256 of its files."""
    found: dict[str, tuple[str, list[str]]] = {}
    for block in re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8")):
        if pin := re.match(r"([\w.-]+)(?:\[[^\]]*\])?==([^\s\\;]+)", block):
            name = re.sub(r"[-_.]+", "-", pin[1]).lower()
            found[name] = (pin[2], re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
    return found


def bill(name: str, installed: list[Distribution], locked: dict[str, tuple[str, list[str]]]) -> dict:
    """Return the bill of materials in CycloneDX's format."""
    components = []
    for one in sorted(installed, key=name_of):
        package, version = name_of(one), one.version
        address = f"pkg:pypi/{package}@{version}"
        component: dict = {"type": "library", "bom-ref": address, "name": package, "version": version, "purl": address}
        component["licenses"] = [{"license": {"name": licence_of(one)}}]
        known, hashes = locked.get(package, ("", []))
        if known == version and hashes:
            component["properties"] = [{"name": "chimed:sha256-of-files", "value": " ".join(hashes)}]
        components.append(component)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "component": {"type": "container", "name": name},
        },
        "components": components,
    }


def table(made: dict) -> str:
    """Return the licences as a Markdown table, by package."""
    rows = [(one["name"], one["version"], one["licenses"][0]["license"]["name"]) for one in made["components"]]
    lines = ["| package | version | licence |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)]) + "\n"


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--name", required=True, help="what the environment is called")
    parser.add_argument("--lock", type=Path, required=True, help="the requirements file it was installed from")
    parser.add_argument("--to", type=Path, default=Path("bills"), help="the folder to write to")
    asked = parser.parse_args()
    installed = list({name_of(one): one for one in distributions() if one.metadata["Name"]}.values())
    locked = hashes_in(asked.lock)
    made = bill(asked.name, installed, locked)
    asked.to.mkdir(parents=True, exist_ok=True)
    written = json.dumps(made, ensure_ascii=False, indent=1)
    (asked.to / f"{asked.name}.cdx.json").write_text(f"{written}\n", encoding="utf-8")
    (asked.to / f"{asked.name}.licences.md").write_text(table(made), encoding="utf-8")
    strange = sorted(one["name"] for one in made["components"] if one["name"] not in locked)
    if strange:
        print(f"installed and not in {asked.lock}: {', '.join(strange)}", file=sys.stderr)


if __name__ == "__main__":
    main()
