"""`pillarbox ui`: a page on 127.0.0.1 to look at the pipeline and to mend it, with the operator's own credentials."""
