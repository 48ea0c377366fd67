#!/usr/bin/env python3
"""Adds up JUnit files: prints "tests: N passed, N failed, N skipped"; exits 1 if none ran."""
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

passed = failed = skipped = 0
for name in sys.argv[1:]:
    if not Path(name).is_file():
        continue
    for case in ElementTree.parse(name).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"} or case.get("status") == "fail":
            failed += 1
        elif "skipped" in kinds or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
print(f"tests: {passed} passed, {failed} failed, {skipped} skipped")
sys.exit(0 if passed else 1)
