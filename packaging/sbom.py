# SPDX-License-Identifier: MIT OR Apache-2.0
"""Says what a self-contained plugin is made of, as SPDX 2.3 (JSON) on stdout. Runs in the root of
packaging/build.sh, from plugin.sh:

    sbom.py <libc> <machine> <version> <prefixes, colons between> <plugin>
"""

import datetime
import hashlib
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = pathlib.Path("/sources")


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def upstream(version: str) -> str:
    """The version without what Debian adds to it."""
    return version.rpartition(":")[2].rpartition("-")[0] or version


def url(how: str, package: str, version: str, suite: str) -> str:
    if how == "crate":
        return f"pkg:cargo/{package}@{version}"
    arch = "" if how == "deb" else "&arch=source"
    return f"pkg:deb/debian/{package}@{version.replace('~', '%7E')}?distro={suite}{arch}"


def library(line: str):
    name, how, package, _, suite, licence, _ = line.split()
    folder = SOURCES / name
    version = (folder / "VERSION").read_text().strip()
    files = sorted(one for one in folder.iterdir() if one.name != "VERSION")
    sums = ", ".join(f"{one.name} SHA-256 {sha256(one)}" for one in files)
    return {
        "SPDXID": f"SPDXRef-{name}",
        "name": name,
        "versionInfo": upstream(version),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": licence,
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
        "sourceInfo": f"{package} {version} ({how}): {sums}",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": url(how, package, version, suite),
            }
        ],
    }


def main():
    libc, machine, version, prefixes, plugin = sys.argv[1:]
    plugin = pathlib.Path(plugin)
    digest = sha256(plugin)
    linked = {pathlib.Path(one).name.rpartition("-")[0] for one in prefixes.split(":")}
    lines = (HERE / "sources.txt").read_text().splitlines()
    libraries = [library(line) for line in lines if line and not line.startswith("#")]
    assert {one["name"] for one in libraries} == linked, "sources.txt and libraries.sh differ"
    compiler = subprocess.run(
        [os.environ["CC"], "--version"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[0]
    created = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC)
    ours = {
        "SPDXID": "SPDXRef-plugin",
        "name": "mosquitto-p2panda",
        "versionInfo": version,
        "packageFileName": plugin.name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest}],
        "licenseConcluded": "MIT OR Apache-2.0",
        "licenseDeclared": "MIT OR Apache-2.0",
        "copyrightText": "NOASSERTION",
        "comment": f"for {libc} on {machine}, built by {compiler}",
    }
    relationships = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-plugin")]
    for one in libraries:
        # Of Mosquitto there are headers alone.
        kind = "BUILD_DEPENDENCY_OF" if one["name"] == "mosquitto" else "STATIC_LINK"
        pair = (one["SPDXID"], kind, "SPDXRef-plugin")
        relationships.append(pair if kind != "STATIC_LINK" else pair[::-1])
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"mosquitto-p2panda-{version}-{libc}-{machine}",
        "documentNamespace": f"urn:sha256:{digest}",
        "creationInfo": {
            "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: mosquitto-p2panda packaging/sbom.py"],
        },
        "packages": [ours, *libraries],
        "relationships": [
            {"spdxElementId": a, "relationshipType": kind, "relatedSpdxElement": b}
            for a, kind, b in relationships
        ],
    }
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
