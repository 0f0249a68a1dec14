"""`pillarbox ui`: a web page on 127.0.0.1 to inspect and repair the pipeline, with the operator's own credentials."""
