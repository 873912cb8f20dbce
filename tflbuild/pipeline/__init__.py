"""The pipeline: from composed configurations to manifests, for one build, a sweep or a job."""
