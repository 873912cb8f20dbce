"""The stage report: manifests, outputs, tables and pages."""
