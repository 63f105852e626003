"""The main job: follow a record, forecast, report ruptures, keep score."""
