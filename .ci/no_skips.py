"""Fails if a test was skipped: `no_skips.py JUNIT_XML…`. A fresh Linux machine has all that the suite needs."""

import sys
from xml.etree import ElementTree

# An expected failure is written down as a skip too, but of the type pytest.xfail.
skipped = [
    f"{case.get('classname')}::{case.get('name')}: {skip.get('message')}"
    for report in sys.argv[1:]
    for case in ElementTree.parse(report).iter("testcase")  # noqa: S314 -- pytest has just written it
    for skip in case.iter("skipped")
    if skip.get("type") != "pytest.xfail"
]
if skipped:
    sys.exit("\n".join(["Skipped, which is not allowed here:", *skipped]))
