"""The names of the files in an evidence directory. `docs/promotion.md` tells what each is for."""

from ssd_plugin.core.run_layout import VERDICT_NAME

VERDICT = VERDICT_NAME
STATEMENT = "statement.json"
ENVELOPE = "verdict.dsse.json"
BUNDLE = "verdict.sigstore.json"
MODEL_SIGNATURE = "model.sig"
SARIF = "results.sarif"
JUNIT = "junit.xml"
SUMMARY = "summary.md"
PICTURE = "summary.svg"
BOM = "bom.cdx.json"
PROGRAMS = "programs"
FILES = (VERDICT, STATEMENT, ENVELOPE, BUNDLE, SARIF, JUNIT, SUMMARY, BOM)
