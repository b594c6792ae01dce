"""Tables, figures and the report, with the published numbers beside the measured ones."""
